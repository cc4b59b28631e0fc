"""The library as others install it: a wheel, in an empty folder, with nothing of the checkout in sight."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata

import pytest
from tests.support import ROOT

LIBRARY = ROOT / "workflow" / "scripts" / "babelscope"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what `pip install .` would put into site-packages."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source / name)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "resources", source / "resources")
    shutil.copytree(ROOT / "workflow", source / "workflow", ignore=ignored, symlinks=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "-w", source / "dist", source], check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("babelscope-*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run(site, folder, code):
    """Output of a program that finds the wheel first, isolated from environment and working directory."""
    start = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    command = [sys.executable, "-I", "-c", start + code]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_wheel_holds_every_module(installed):
    modules = {str(path.relative_to(LIBRARY.parent)) for path in LIBRARY.rglob("*.py")}
    assert {str(path.relative_to(installed)) for path in installed.rglob("*.py")} == modules


def test_the_wheel_holds_every_resource(installed):
    names = sorted(path.relative_to(ROOT / "resources") for path in (ROOT / "resources").rglob("*.*"))
    assert len(names) >= 5
    for name in names:
        assert (installed / "babelscope/resources" / name).read_bytes() == (
            ROOT / "resources" / name
        ).read_bytes()


def test_a_program_in_an_empty_folder_uses_the_wheel(installed, tmp_path):
    code = (
        "import babelscope, numpy as np\n"
        "assert babelscope.__file__.startswith(sys.path[0]), babelscope.__file__\n"
        "print(babelscope.read_languages()['hi'].name)\n"
        "rows = np.random.default_rng(0).normal(size=(12, 4))\n"
        "print(np.bincount(babelscope.BalancedKMeans(n_experts=3).fit(rows).labels_).tolist())\n"
    )
    assert run(installed, tmp_path, code).splitlines() == ["Hindi", "[4, 4, 4]"]
    assert not list(tmp_path.iterdir())


def test_criteria_and_templates_are_found_from_the_wheel(installed, tmp_path):
    code = (
        "from babelscope import resource_path\n"
        "from babelscope.evidence.claims import read_criteria\n"
        "criteria = read_criteria(resource_path('claims.yaml'))\n"
        "print(len(criteria) > 10, resource_path('templates/claims.html').stat().st_size > 100)\n"
    )
    assert run(installed, tmp_path, code) == "True True"


def test_a_resource_that_is_not_there_is_an_error_that_lists_them():
    from babelscope import resource_path
    from babelscope.study.errors import BabelscopeError

    with pytest.raises(BabelscopeError, match=r"resource 'laguages\.tsv': there are .*languages\.tsv"):
        resource_path("laguages.tsv")


def test_all_that_the_library_imports_is_declared():
    """Each import is of the standard library, a declared package, or one that a declared package requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split("[=<>]", line)[0] for line in project["dependencies"]}
    required = {
        re.match(r"[A-Za-z0-9._-]+", line)[0]
        for name in declared
        for line in metadata.requires(name) or []
        if "extra ==" not in line
    }
    allowed = {re.sub(r"[-_.]+", "-", name).lower() for name in declared | required}
    imported = set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    packages = metadata.packages_distributions()
    optional = {"triton"}  # comes with a torch for GPUs; imported where there is one
    for name in imported - set(sys.stdlib_module_names) - {"babelscope"} - optional:
        owners = {re.sub(r"[-_.]+", "-", owner).lower() for owner in packages.get(name, [name])}
        assert owners & allowed, f"{name} of {owners} is imported and not declared in pyproject.toml"
