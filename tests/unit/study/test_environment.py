"""One environment, written down four times: the lock, pyproject.toml, conda and the Makefile agree."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
import yaml
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "envs" / "babelscope.yaml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def pins(lines):
    """Versions by normalised name; anything but ``name==version`` is an error."""
    found = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", line.strip())
        assert match, f"not pinned: {line}"
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        assert name not in found, f"{name} is given twice"
        found[name] = match[2]
    return found


@pytest.fixture(scope="module")
def lock():
    lines = (ROOT / "envs" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return pins(line for line in lines if line.strip() and not line.startswith("#"))


def test_the_lock_holds_every_dependency_of_the_project(lock):
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    wanted = pins([*PROJECT["dependencies"], *extras])
    assert {name: lock.get(name) for name in wanted} == wanted


def test_the_conda_environment_is_that_of_the_project():
    (pip,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    extras = PROJECT["optional-dependencies"]
    wanted = pins([*PROJECT["dependencies"], *extras["cluster"], *extras["slurm"]])
    assert pins(pip) == wanted


def test_conda_brings_python_and_pip_alone():
    names = [entry.split("=")[0] for entry in CONDA["dependencies"] if isinstance(entry, str)]
    assert names == ["python", "pip"]


def test_torch_is_the_same_everywhere(lock):
    assert set(re.findall(r"torch==([0-9.]+)", MAKEFILE)) == {lock["torch"]}
    assert lock["torch"] == "2.13.0"


def test_packages_of_models_are_those_of_the_configuration(lock):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    sources = [model["source"] for model in config["model_definitions"].values()]
    packaged = {source["package"]: source["version"] for source in sources if "package" in source}
    beside = dict(re.findall(r"--no-deps ([a-z0-9-]+)==([0-9.]+)", MAKEFILE))
    assert {name: lock.get(name) or beside.get(name) for name in packaged} == packaged


def test_the_lock_is_what_is_installed(lock):
    """Where the tests run in an environment of another making, they say so."""
    found = {name: metadata.version(name) for name in pins(PROJECT["dependencies"])}
    found = {name: version.split("+")[0] for name, version in found.items()}
    assert found == {name: lock[name] for name in found}


def test_python_is_asked_for_as_the_project_says():
    assert PROJECT["requires-python"] == ">=3.11"
    assert "(3, 11)" in MAKEFILE


def test_the_version_is_one():
    import babelscope

    assert PROJECT["version"] == babelscope.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == babelscope.__version__
    assert f"{babelscope.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
