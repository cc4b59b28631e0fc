"""The digest of code changes with what a script can reach, and with nothing else."""

from __future__ import annotations

import pytest
from tests.support import ROOT

from babelscope.study.code_digest import code_digest

FILES = {
    "script.py": '"""Adaptor."""\nfrom babelscope.near import work\n\n\ndef main(smk):\n    work(smk)\n',
    "babelscope/__init__.py": '__version__ = "1"\n',
    "babelscope/near.py": (
        "from babelscope import deep\nfrom babelscope.far import LIMIT, helper\n"
        "from babelscope.files.hdf5 import write\n\n\n"
        'def work(x):\n    """Text."""\n    # why\n    return write(helper(x) + deep.down(x))\n\n\n'
        "def unused(x):\n    return LIMIT\n"
    ),
    "babelscope/far.py": "LIMIT = 1\nSTEP = 2\n\n\ndef helper(x):\n    return inner(x) + STEP\n\n\n"
    "def inner(x):\n    return x\n",
    "babelscope/deep.py": "def down(x):\n    return x\n",
    "babelscope/store.py": "def write(x):\n    return x\n",
    "babelscope/alone.py": "def alone():\n    return 1\n",
}


@pytest.fixture
def library(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def digest_after(library, name, old, new):
    path = library / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return code_digest(library / "script.py")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", "work(smk)", "work(smk.input)"),
        ("babelscope/near.py", "helper(x) + deep", "helper(x) - deep"),
        ("babelscope/far.py", "STEP = 2", "STEP = 3"),
        ("babelscope/far.py", "    return x", "    return -x"),
        ("babelscope/deep.py", "    return x", "    return -x"),
        ("babelscope/far.py", "def inner(x)", "def inner(x=1)"),
    ],
)
def test_a_change_of_code_that_can_be_reached_changes_it(library, name, old, new):
    before = code_digest(library / "script.py")
    assert digest_after(library, name, old, new) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", '"""Adaptor."""', '"""Another adaptor."""\n# with a remark'),
        ("babelscope/near.py", '    """Text."""', '    """Other text,\n\n    and more."""'),
        ("babelscope/near.py", "# why", "# a better why"),
        ("babelscope/far.py", "LIMIT = 1\n", "LIMIT = 1\n\n\n"),
        ("babelscope/far.py", "LIMIT = 1", "LIMIT = 5"),
        ("babelscope/near.py", "return LIMIT", "return -LIMIT"),
        ("babelscope/store.py", "return x", "return -x"),
        ("babelscope/alone.py", "return 1", "return 2"),
        ("babelscope/__init__.py", "1", "2"),
        ("babelscope/near.py", "helper(x) + deep.down(x)", "helper( x )+deep.down( x )"),
    ],
)
def test_comments_layout_and_unreached_code_do_not_change_it(library, name, old, new):
    before = code_digest(library / "script.py")
    assert digest_after(library, name, old, new) == before


@pytest.mark.parametrize("imports", ["from babelscope import near\n", "import babelscope.near as near\n"])
def test_a_module_imported_whole_counts_whole(library, imports):
    (library / "script.py").write_text(imports + "\n\ndef main(smk):\n    near.work(smk)\n")
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3") != before


def test_an_import_inside_a_function_counts(library):
    text = "\n\ndef main(smk):\n    from babelscope.far import helper\n\n    helper(smk)\n"
    (library / "script.py").write_text(text)
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3") != before


def test_decorators_classes_and_base_classes_count(library):
    (library / "babelscope" / "shapes.py").write_text(
        "from babelscope.far import helper\n\n\nclass Base:\n    size = 1\n\n\n"
        "class Kind(Base):\n    def grow(self):\n        return helper(self)\n\n\n"
        "def mark(f):\n    return f\n\n\n@mark\ndef made():\n    return Kind()\n"
    )
    (library / "script.py").write_text("from babelscope.shapes import made\n\n\ndef main(smk):\n    made()\n")
    digests = [code_digest(library / "script.py")]
    digests.append(digest_after(library, "babelscope/shapes.py", "size = 1", "size = 2"))
    digests.append(digest_after(library, "babelscope/shapes.py", "    return f\n", "    return f or None\n"))
    digests.append(digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3"))
    assert len(set(digests)) == 4


def test_a_package_that_hands_names_on_is_looked_through(library):
    (library / "babelscope" / "many").mkdir()
    (library / "babelscope" / "many" / "__init__.py").write_text("from babelscope.many.part import piece\n")
    (library / "babelscope" / "many" / "part.py").write_text("def piece():\n    return 1\n")
    (library / "script.py").write_text("from babelscope.many import piece\n\n\ndef main(smk):\n    piece()\n")
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/many/part.py", "return 1", "return 2") != before


def test_modules_that_import_each_other_come_to_an_end(library):
    (library / "babelscope" / "a.py").write_text("from babelscope.b import g\n\n\ndef f():\n    return g\n")
    (library / "babelscope" / "b.py").write_text("from babelscope.a import f\n\n\ndef g():\n    return f\n")
    (library / "script.py").write_text("from babelscope.a import f\n\n\ndef main(smk):\n    f()\n")
    assert len(code_digest(library / "script.py")) == 16


def test_every_adaptor_has_a_digest_of_its_own():
    scripts = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
    assert len({code_digest(script) for script in scripts}) == len(scripts) > 10
