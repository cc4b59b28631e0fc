"""The page as text: modules in order, data that stay data, a policy that allows no more than it needs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.explorer_pages import HOSTILE, PAGE, make_contexts, make_data, write_page

from babelscope.explorer.page import bundle, embed, read_modules
from babelscope.study.errors import BabelscopeError


def test_a_module_stands_once_after_what_it_imports():
    script = bundle({
        "main.js": 'import { b } from "./b.js";\nimport { c } from "./c.js";\nb(c);\n',
        "b.js": 'import { c } from "./c.js";\nexport function b() { return c; }\n',
        "c.js": "export const c = 1;\n",
    })  # fmt: skip
    assert [script.index(text) for text in ("const c = 1", "function b", "b(c);")] == sorted(
        script.index(text) for text in ("const c = 1", "function b", "b(c);")
    )
    assert script.count("const c") == 1
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)


FROM_X = 'import { x } from "./x.js";\n'


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"main.js": FROM_X}, "main.js imports 'x.js'"),
        (
            {"main.js": FROM_X, "x.js": 'import { y } from "./main.js";\n'},
            "main.js imports itself by way of x.js",
        ),
        (
            {"main.js": FROM_X + "const x = 1;\n", "x.js": "export const x = 1;\n"},
            "main.js declares 'x', and so does x.js",
        ),
        ({"main.js": "export default 1;\n"}, "is no import or export"),
        ({"main.js": 'import x from "far";\n'}, "is no import or export"),
    ],
)
def test_modules_that_cannot_be_one_script_are_refused(modules, message):
    with pytest.raises(BabelscopeError, match=re.escape(message)):
        bundle(modules)


def test_no_module_of_the_page_is_longer_than_its_reader_likes():
    sizes = {name: source.count("\n") for name, source in read_modules(PAGE).items()}
    assert len(sizes) > 8 and max(sizes.values()) <= 250


def test_documents_cannot_leave_the_data(tmp_path):
    data = make_data()
    page = write_page(tmp_path / "page.html", data, make_contexts(data, hostile=True)).read_text("utf-8")
    assert "window.broken" in page and page.count("<script") == 3 and "<img" not in page
    found = re.search(r'id="contexts">(.*?)</script>', page, re.DOTALL)[1]
    texts = json.loads(found)
    assert any(HOSTILE in row[4] for unit in texts.values() for rows in unit["by"].values() for row in rows)
    assert page.isascii() or "\u202e" not in page


def test_the_policy_allows_the_pages_own_script_and_style_alone(tmp_path):
    data = make_data()
    page = write_page(tmp_path / "page.html", data, make_contexts(data)).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; ")
    for element, text in re.findall(r"<(script|style)>(.*?)</\1>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page), "an address of the network"
    assert not re.search(r"\son[a-z]+=|style=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_nothing_of_json_ends_its_element():
    assert embed({"a": "</script>\u2028\ud800"}) == '{"a":"\\u003c/script>\\u2028\\ud800"}'


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_modules_do_what_their_own_tests_say():
    folder = Path(__file__).parent / "modules"
    done = subprocess.run(["node", "--test", str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
