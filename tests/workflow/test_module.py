"""The workflow in other hands: as a module, from Snakemake alone, from a path with spaces, in the catalog."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.support import ROOT, jobs_of, make_study, read_config

LOCK = ROOT / "envs" / "requirements.txt"
SNAKEFILE = """
configfile: "mine.yaml"


module babelscope:
    snakefile:
        "../a clone/Snakefile"
    config:
        config


use rule * from babelscope
"""


@pytest.fixture(scope="session")
def snakemake_alone() -> Path:
    """Python of an environment with the Snakemake of the lock and what it brings; built once per checkout."""
    version = re.search(r"^snakemake==(.+)$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)[1]
    folder = ROOT / ".cache" / f"snakemake-{version}"
    python = folder / "bin" / "python"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += [f"snakemake=={version}", "--constraint", LOCK]
        subprocess.run(command, check=True, env=clean, capture_output=True)
        (folder / "installed").touch()
    return python


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project that uses a clone of the workflow, at a path with spaces, with two languages of its own."""
    parent = tmp_path_factory.mktemp("other hands")
    clone = make_study(parent / "a clone")
    folder = parent / "a project"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    own = {"languages": ["hi", "ar"], "sharing": {"threshold": 0.1}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    (folder / "tiny-model").symlink_to(clone / "tiny-model")
    (folder / "text").mkdir()
    for language in own["languages"]:
        (folder / "text" / f"{language}.txt").write_text("one line\n", encoding="utf-8")
    return folder


FROM_GIT = {
    "GitHub": 'github("somebody/babelscope", path="Snakefile", tag="v1")',
    "GitLab": 'gitlab("somebody/babelscope", path="Snakefile", branch="main")',
}


def commit(folder: Path, tag: str) -> None:
    """Make a study a git repository with one tag, without its model and text."""
    (folder / ".gitignore").write_text("/tiny-model/\n/text/\n.snakemake/\n", encoding="utf-8")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "one"], ["tag", tag]):
        subprocess.run([*git, *command], check=True)


def snakemake(python, folder, *args, **env):
    """Run Snakemake of an environment with nothing of this checkout on its path."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [python, "-m", "snakemake", "--cores", "1", *args],
        cwd=folder,
        env=clean | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def test_the_environment_holds_snakemake_and_no_library_of_the_study(snakemake_alone):
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    names = ["snakemake", "babelscope", "numpy", "torch", "h5py", "matplotlib"]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run([snakemake_alone, "-c", code, *names], env=clean, capture_output=True, text=True)
    assert result.stdout.strip() == "['snakemake']"


def test_a_clone_at_a_path_with_spaces_is_planned_by_snakemake_alone(snakemake_alone, project):
    result = snakemake(snakemake_alone, project.parent / "a clone", "--dry-run")
    assert result.returncode == 0, result.stdout
    rules = {rule for rule, _ in jobs_of(result.stdout)}
    assert {"prepare_model", "record_activations", "compare_languages", "judge_claims"} <= rules


def test_full_is_planned_by_snakemake_alone(snakemake_alone, project):
    result = snakemake(snakemake_alone, project.parent / "a clone", "--dry-run", "full")
    assert result.returncode == 0, result.stdout
    assert "generate_responses" in {rule for rule, _ in jobs_of(result.stdout)}


def test_another_project_plans_the_workflow_as_a_module_with_its_own_languages(snakemake_alone, project):
    result = snakemake(snakemake_alone, project, "--dry-run")
    assert result.returncode == 0, result.stdout
    jobs = jobs_of(result.stdout)
    languages = {re.search(r"lang=(\w+)", wildcards)[1] for rule, wildcards in jobs if "lang=" in wildcards}
    assert languages == {"hi", "ar"}
    assert ("prepare_model", "model=tiny") in jobs


def test_a_module_runs_with_the_defaults_of_the_workflow_and_the_keys_of_the_project(project):
    result = snakemake(sys.executable, project, "results/run_config.yaml")
    assert result.returncode == 0, result.stdout
    written = yaml.safe_load((project / "results" / "run_config.yaml").read_text(encoding="utf-8"))
    defaults = read_config(project.parent / "a clone")
    assert written["languages"] == ["hi", "ar"]
    assert written["sharing"]["threshold"] == 0.1
    assert written["corpus"] == defaults["corpus"]
    assert not (project.parent / "a clone" / "results").exists()


@pytest.mark.parametrize("source", FROM_GIT)
def test_a_module_is_taken_from_git(snakemake_alone, project, tmp_path_factory, source):
    """Planned by Snakemake alone, then one job is run with the library of the commit.

    What Snakemake would clone from GitHub and GitLab lies in its cache already: nothing is fetched.
    """
    clone, cache = project.parent / "a clone", tmp_path_factory.mktemp("cache")
    if not (clone / ".git").exists():
        commit(clone, "v1")
    for host in ("github.com", "gitlab.com"):
        bare = cache / "snakemake/snakemake/source-cache/snakemake-git-cache" / host / "somebody/babelscope"
        subprocess.run(["git", "clone", "-q", "--bare", clone, bare], check=True)
    folder = tmp_path_factory.mktemp("elsewhere", numbered=True)
    for name in ("mine.yaml", "tiny-model", "text"):
        (folder / name).symlink_to(project / name)
    text = SNAKEFILE.replace('"../a clone/Snakefile"', FROM_GIT[source])
    (folder / "Snakefile").write_text(text, encoding="utf-8")
    result = snakemake(snakemake_alone, folder, "--dry-run", XDG_CACHE_HOME=str(cache))
    assert result.returncode == 0, result.stdout
    assert ("tokenize_corpus", "lang=hi model=tiny") in jobs_of(result.stdout)
    result = snakemake(sys.executable, folder, "results/run_config.yaml", XDG_CACHE_HOME=str(cache))
    assert result.returncode == 0, result.stdout
    written = yaml.safe_load((folder / "results" / "run_config.yaml").read_text(encoding="utf-8"))
    assert written["languages"] == ["hi", "ar"]
    (unpacked,) = (path for path in (folder / ".snakemake" / "babelscope").iterdir() if path.is_dir())
    assert (unpacked / "workflow" / "scripts" / "babelscope" / "resources" / "languages.tsv").exists()


def test_no_rule_file_is_long():
    lines = {path.name: len(path.read_text().splitlines()) for path in ROOT.glob("rules/**/*.smk")}
    assert not {name: n for name, n in lines.items() if n > 350}


def test_a_wrong_key_of_the_project_is_named(snakemake_alone, project):
    result = snakemake(snakemake_alone, project, "--dry-run", "--config", "langauges=[en]")
    assert result.returncode != 0
    assert "unknown key 'langauges' (did you mean 'languages'?)" in result.stdout


def test_the_catalog_finds_what_it_asks_for():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
    assert set(catalog["usage"]) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert catalog["usage"]["software-stack-deployment"]["conda"] is True
    assert set(catalog["usage"]["mandatory-flags"]) == {"desc", "flags"}
    for file in ("Snakefile", "config/README.md", "config/config.yaml", "README.md", "LICENSE"):
        assert (ROOT / file).exists(), file
    environments = set(
        re.findall(r'conda:\s+"(.+?)"', "".join(p.read_text() for p in ROOT.glob("rules/*.smk")))
    )
    assert all((ROOT / "rules" / environment).exists() for environment in environments)
