"""Adaptors translate and do nothing else: short, typed, one for each script that a rule names."""

from __future__ import annotations

import ast
import re

import pytest
from tests.support import ROOT

SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))


def test_every_adaptor_is_the_script_of_a_rule():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    rules += (ROOT / "Snakefile").read_text(encoding="utf-8")
    assert {script.name for script in SCRIPTS} == set(re.findall(r"workflow/scripts/(\w+\.py)", rules))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_adaptor_has_at_most_twenty_lines_and_takes_a_job(script):
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 20
    (main,) = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    assert ast.unparse(main.args) == "job: Job"
    assert ast.unparse(main.returns) == "None"
    assert re.search(r"^run_job\(main, globals\(\)", text, re.MULTILINE)
