"""The digest of code changes with every module that a script imports, and with nothing else."""

from __future__ import annotations

import pytest
from tests.support import ROOT

from babelscope.study.code_digest import code_digest, shared_digest

FILES = {
    "script.py": '"""Adaptor."""\nfrom babelscope.near import work\n\n\ndef main(smk):\n    work(smk)\n',
    "babelscope/__init__.py": '__version__ = "1"\n',
    "babelscope/near.py": (
        "from typing import TYPE_CHECKING\n"
        "from babelscope import deep\nfrom babelscope.far import LIMIT, helper\n"
        "from babelscope.files.hdf5 import write\n"
        "if TYPE_CHECKING:\n    from babelscope.alone import alone\n\n\n"
        'def work(x):\n    """Text."""\n    # why\n    return write(helper(x) + deep.down(x))\n\n\n'
        "def unused(x):\n    return LIMIT\n"
    ),
    "babelscope/far.py": "LIMIT = 1\nSTEP = 2\n\n\ndef helper(x):\n    return inner(x) + STEP\n\n\n"
    "def inner(x):\n    return x\n",
    "babelscope/deep.py": "def down(x):\n    return x\n",
    "babelscope/files/hdf5.py": "def write(x):\n    return x\n",
    "babelscope/alone.py": "def alone():\n    return 1\n",
}
# A module that a script imports: its code, the part that is edited, and what replaces it.
KINDS_OF_CODE = {
    "a definition under a top-level if": (
        "import sys\nif sys.maxsize > 1:\n    def work(x):\n        return x\n",
        "return x",
        "return -x",
    ),
    "a definition under a top-level try": (
        "try:\n    def work(x):\n        return x\nexcept ImportError:\n    work = None\n",
        "return x",
        "return -x",
    ),
    "a module-level statement": (
        "import os\nos.environ['SEED'] = '0'\n\n\ndef work(x):\n    return x\n",
        "'0'",
        "'1'",
    ),
    "a table filled by update": (
        "TABLE = {}\nTABLE.update(one=1)\n\n\ndef work(x):\n    return TABLE[x]\n",
        "one=1",
        "one=2",
    ),
}


@pytest.fixture
def library(tmp_path):
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(library, name, text):
    path = library / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def digest_after(library, name, old, new):
    text = (library / name).read_text(encoding="utf-8")
    assert old in text
    write(library, name, text.replace(old, new))
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
        ("babelscope/far.py", "LIMIT = 1", "LIMIT = 5"),
        ("babelscope/near.py", "return LIMIT", "return -LIMIT"),
    ],
)
def test_all_of_an_imported_module_counts_whether_it_is_called_or_not(library, name, old, new):
    before = code_digest(library / "script.py")
    assert digest_after(library, name, old, new) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", '"""Adaptor."""', '"""Another adaptor."""\n# with a remark'),
        ("babelscope/near.py", '    """Text."""', '    """Other text,\n\n    and more."""'),
        ("babelscope/near.py", "# why", "# a better why"),
        ("babelscope/far.py", "LIMIT = 1\n", "LIMIT = 1\n\n\n"),
        ("babelscope/near.py", "helper(x) + deep.down(x)", "helper( x )+deep.down( x )"),
    ],
)
def test_comments_docstrings_and_layout_do_not_change_it(library, name, old, new):
    before = code_digest(library / "script.py")
    assert digest_after(library, name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("babelscope/alone.py", "return 1", "return 2"),  # imported for type checkers alone
        ("babelscope/files/hdf5.py", "return x", "return -x"),  # carries results, makes none
        ("babelscope/__init__.py", "1", "2"),
    ],
)
def test_modules_that_do_not_run_or_make_no_result_do_not_change_it(library, name, old, new):
    before = code_digest(library / "script.py")
    assert digest_after(library, name, old, new) == before


@pytest.mark.parametrize("kind", KINDS_OF_CODE)
def test_every_kind_of_code_in_a_module_counts(library, kind):
    text, old, new = KINDS_OF_CODE[kind]
    write(library, "babelscope/near.py", text)
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/near.py", old, new) != before


def test_a_registry_filled_by_a_decorator_in_another_module_counts(library):
    write(
        library, "babelscope/far.py", "TABLE = {}\n\n\ndef add(f):\n    TABLE[f.__name__] = f\n    return f\n"
    )
    write(
        library, "babelscope/rows.py", "from babelscope.far import add\n\n\n@add\ndef row():\n    return 1\n"
    )
    text = (
        "import babelscope.rows\nfrom babelscope.far import TABLE\n\n\ndef work(x):\n    return TABLE[x]()\n"
    )
    write(library, "babelscope/near.py", text)
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/rows.py", "return 1", "return 2") != before


def test_one_name_imported_in_two_functions_counts_from_both_modules(library):
    text = "".join(
        f"def {name}(x):\n    from babelscope.{module} import helper\n\n    return helper(x)\n\n\n"
        for name, module in (("work", "far"), ("other", "second"))
    )
    write(library, "babelscope/near.py", text)
    write(library, "babelscope/second.py", "def helper(x):\n    return 2 * x\n")
    digests = [code_digest(library / "script.py")]
    digests.append(digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3"))
    digests.append(digest_after(library, "babelscope/second.py", "2 * x", "3 * x"))
    assert len(set(digests)) == 3


def test_two_modules_imported_by_their_dotted_names_both_count(library):
    text = "import babelscope.far\nimport babelscope.deep\n\n\ndef work(x):\n"
    write(library, "babelscope/near.py", text + "    return babelscope.far.helper(babelscope.deep.down(x))\n")
    digests = [code_digest(library / "script.py")]
    digests.append(digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3"))
    digests.append(digest_after(library, "babelscope/deep.py", "return x", "return -x"))
    assert len(set(digests)) == 3


def test_names_imported_by_a_star_count(library):
    write(
        library,
        "babelscope/near.py",
        "from babelscope.far import *\n\n\ndef work(x):\n    return helper(x)\n",
    )
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3") != before


@pytest.mark.parametrize(
    "imports",
    [
        "from babelscope import near\n",
        "import babelscope.near as near\n",
        "def main(smk):\n    from babelscope.far import helper\n\n    helper(smk)\n",
    ],
)
def test_every_way_to_import_a_module_counts(library, imports):
    write(library, "script.py", imports)
    before = code_digest(library / "script.py")
    assert digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3") != before


def test_relative_imports_and_packages_on_the_way_count(library):
    write(library, "babelscope/many/__init__.py", "from .part import piece\n")
    write(library, "babelscope/many/part.py", "from ..far import helper as piece\n")
    write(library, "script.py", "from babelscope.many import piece\n")
    digests = [code_digest(library / "script.py")]
    digests.append(digest_after(library, "babelscope/many/part.py", "as piece", "as piece, inner"))
    digests.append(digest_after(library, "babelscope/far.py", "STEP = 2", "STEP = 3"))
    assert len(set(digests)) == 3


def test_modules_that_import_each_other_come_to_an_end(library):
    write(library, "babelscope/a.py", "from babelscope.b import g\n\n\ndef f():\n    return g\n")
    write(library, "babelscope/b.py", "from babelscope.a import f\n\n\ndef g():\n    return f\n")
    write(library, "script.py", "from babelscope.a import f\n\n\ndef main(smk):\n    f()\n")
    assert len(code_digest(library / "script.py")) == 16


def test_a_job_takes_the_digest_of_the_run_that_started_it_and_a_run_looks_again(library, monkeypatch):
    monkeypatch.setenv("BABELSCOPE_DIGESTS", "{}")
    script = library / "script.py"
    first = shared_digest(script, of_a_job=True)
    assert first == code_digest(script)
    write(library, "script.py", "print(1)\n")
    assert shared_digest(script, of_a_job=True) == first
    assert shared_digest(script, of_a_job=False) == code_digest(script) != first


def test_every_adaptor_has_a_digest_of_its_own():
    scripts = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
    assert len({code_digest(script) for script in scripts}) == len(scripts) > 10
