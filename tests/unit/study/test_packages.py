"""Every package opens with what it takes, what it gives and what it never imports, and keeps to it."""

from __future__ import annotations

import ast
import re

import pytest
from tests.support import ROOT

LIBRARY = ROOT / "workflow" / "scripts" / "babelscope"
PACKAGES = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))
LINES = ("Takes: ", "Gives: ", "Never imports: ")


def opening(package: str) -> str:
    return ast.get_docstring(ast.parse((LIBRARY / package / "__init__.py").read_text(encoding="utf-8"))) or ""


def imported(package: str) -> set[str]:
    """First names of all that the modules of a package import, at the top or inside functions."""
    found = set()
    for path in (LIBRARY / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found


def test_there_is_one_package_per_stage():
    stages = {path.stem for path in (ROOT / "rules").glob("*.smk")} - {"resources"}
    below = {"files", "figures", "statistics"}
    assert set(PACKAGES) - below <= stages | {"study"}
    assert below < set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_takes_gives_and_never_imports(package):
    head, empty, *lines = opening(package).splitlines()
    assert re.fullmatch(r"[A-Z].{20,}\.", head)
    assert empty == ""
    assert [line[: len(start)] for line, start in zip(lines, LINES, strict=True)] == list(LINES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_keeps_to_what_it_never_imports(package):
    never = opening(package).splitlines()[-1].removeprefix(LINES[2]).rstrip(".").split(", ")
    known = {"torch", "transformers", "matplotlib", "numpy", "h5py"}
    assert never and set(never) <= known
    assert not imported(package) & set(never)
