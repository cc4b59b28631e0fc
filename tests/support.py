"""Tiny studies, for tests alone: nothing that they measure means anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.tiny import make_text, save_model

ROOT = Path(__file__).resolve().parents[1]
ANNOTATION_TEMPLATE = (ROOT / "resources" / "templates" / "annotation.html").read_text(encoding="utf-8")
WORKFLOW_PARTS = ("Snakefile", "rules", "workflow", "config", "resources", "profiles", "envs")

# Snakemake's plugin asks SLURM for its settings at the start of every process, also of a job: nine seconds
# where a cluster of the tests has ended and is still named in /etc.
LOCAL = {"OMP_WAIT_POLICY": "PASSIVE", "SLURM_CONF": "/dev/null"}

# A job is its rule and its wildcards, sorted: ("tokenize_corpus", "lang=de model=tiny").
Job = tuple[str, str]


def make_study(
    folder: str | Path,
    languages: Sequence[str] = ("en", "fr"),
    *,
    family: str = "llama",
    more_texts: Sequence[str] = (),
    n_lines: int = 40,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A copy of the workflow whose configuration is a tiny model and small files of text.

    The model is in ``tiny-model``, the text in ``text/{lang}.txt``. The configuration is the default one with
    changes, written to ``config/config.yaml``, so that plain ``snakemake`` in the folder runs the study.

    Parameters
    ----------
    folder : must not exist, or be empty.
    languages : codes of resources/languages.tsv to study.
    family : of the tiny model.
    more_texts : languages with a file of text that are not studied yet.
    n_lines : lines of each file of text.
    config : further changes, merged key by key; None removes a key.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part in WORKFLOW_PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)  # compiled files too: their sources keep their times
        else:
            shutil.copy2(source, folder / part)
    save_model(folder / "tiny-model", family, n_layers=2)
    (folder / "text").mkdir()
    for language in (*languages, *more_texts):
        text = "\n".join(make_text(language, n_lines)) + "\n"
        (folder / "text" / f"{language}.txt").write_text(text, encoding="utf-8")
    settings = yaml.safe_load((folder / "config" / "config.yaml").read_text(encoding="utf-8"))
    tiny = {
        "models": ["tiny"],
        "languages": list(languages),
        "model_definitions": {"tiny": {"source": {"path": "tiny-model"}, "n_layers": 2, "memory_mb": 3000}},
        "corpus": {
            "profile_documents": 20,
            "heldout_documents": 5,
            "min_characters": 5,
            "max_tokens": 30,
        },
        "experts": {"n_experts": 8},
        "recording": {"top_fraction": 0.25, "documents_per_block": 5, "documents_per_segment": 10},
        "pruning": {"compensation_documents": 10},
        "figures": {"dpi": 40},
    }
    settings = merged(settings, tiny)
    settings["corpus"]["sources"] = {"default": {"files": "text/{lang}.txt"}}
    write_config(folder, merged(settings, config or {}))
    return folder


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with changes, merged key by key; None removes a key."""
    result = deepcopy(dict(settings))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


def read_config(folder: str | Path) -> dict[str, Any]:
    """The configuration of a study made by ``make_study``."""
    return yaml.safe_load((Path(folder) / "config" / "config.yaml").read_text(encoding="utf-8"))


def write_config(folder: str | Path, settings: Mapping[str, Any]) -> None:
    """Write the configuration of a study."""
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    (Path(folder) / "config" / "config.yaml").write_text(text, encoding="utf-8")


def change_config(folder: str | Path, changes: Mapping[str, Any]) -> None:
    """Change the configuration of a study in place."""
    write_config(folder, merged(read_config(folder), changes))


def run_snakemake(
    folder: str | Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``snakemake`` in a study, by default on two cores; standard output and error come together.

    Parameters
    ----------
    args : of snakemake; ``--cores 2`` stands before them.
    env : additions to the environment.
    check : True: raise AssertionError with the output where the exit code is not 0.
    """
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *args],
        cwd=folder,
        env={**os.environ, **LOCAL, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=timeout,
    )
    if check and result.returncode:
        command = " ".join(["snakemake", *args])
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout[-4000:]}")
    return result


def job(rule: str, **wildcards: str) -> Job:
    """One job, as ``jobs_of`` gives it."""
    return rule, " ".join(f"{name}={value}" for name, value in sorted(wildcards.items()))


@dataclass(frozen=True)
class PlannedJob:
    """One job of a dry run with its files; target rules (``all``, ``full``) are left out."""

    job: Job
    inputs: frozenset[str]
    outputs: frozenset[str]


def plan_of(dry_run: str) -> list[PlannedJob]:
    """The jobs that the output of ``snakemake --dry-run`` announces."""
    plan: list[PlannedJob] = []
    # jobs of a group are indented once more
    dry_run = re.sub(r"(?m)^ {4}(?= {4}|(?:local)?(?:rule|checkpoint) \w+:)", "", dry_run)
    for block in re.split(r"\n(?=(?:local)?(?:rule|checkpoint) \w+:)", dry_run)[1:]:
        rule = re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", block)[1]
        found = dict(re.findall(r"^    (input|output|wildcards): (.*)$", block, re.MULTILINE))
        parts = {name: values.split(", ") for name, values in found.items()}
        wildcards = dict(pair.split("=", 1) for pair in parts.get("wildcards", []))
        files = (frozenset(parts.get(name, [])) for name in ("input", "output"))
        if rule not in ("all", "full"):
            plan.append(PlannedJob(job(rule, **wildcards), *files))
    return plan


def jobs_of(dry_run: str) -> set[Job]:
    """The jobs that the output of ``snakemake --dry-run`` announces, without target rules."""
    return {planned.job for planned in plan_of(dry_run)}


def whole_plan(folder: str | Path, *args: str) -> list[PlannedJob]:
    """All jobs of the study, whether or not they would run now."""
    return plan_of(run_snakemake(folder, "--dry-run", "--forceall", *args, check=True).stdout)


def with_followers(plan: Sequence[PlannedJob], starts: Collection[Job]) -> set[Job]:
    """Some jobs of a plan and all that read, directly or through others, what they make."""
    done: set[Job] = set()
    made: set[str] = set()
    while new := [p for p in plan if p.job not in done and (p.job in starts or p.inputs & made)]:
        done.update(planned.job for planned in new)
        made.update(*(planned.outputs for planned in new))
    return done


def planned_jobs(folder: str | Path, *args: str) -> set[Job]:
    """The jobs that a run with these arguments would do now."""
    return jobs_of(run_snakemake(folder, "--dry-run", *args, check=True).stdout)


def assert_same_results(
    study: str | Path, other: str | Path, under: str = "results", *, some: bool = False
) -> None:
    """Every table and every dataset of one study is that of another; what holds times is left out.

    ``some``: the other may have more files.
    """
    folders = [Path(folder) / under for folder in (study, other)]
    names = [
        sorted(
            str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.suffix in (".h5", ".csv")
        )
        for folder in folders
    ]
    assert names[0] and (set(names[0]) <= set(names[1]) if some else names[0] == names[1])
    for name in names[0]:
        a, b = (folder / name for folder in folders)
        if name.endswith(".h5"):
            assert_same_datasets(a, b)
        elif not name.endswith("pruning_speed.csv"):
            assert _without_times(a) == _without_times(b), name


def assert_same_datasets(path: Path, other: Path) -> None:
    """Two HDF5 files hold the same, bit for bit, but for the seconds that their making took."""
    import h5py
    import numpy as np

    with h5py.File(path) as a, h5py.File(other) as b:
        assert set(a) == set(b), path
        for name in set(a) - {"seconds"}:
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=f"{path}: {name}")


def _without_times(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "tokens per second" not in line]


def annotation_export(items: Sequence[Any], **said: str) -> dict[str, Any]:
    """What an annotation page exports when all its items are judged ``left``."""
    from babelscope.responses.page import compute_items_digest

    about = {"model": "tiny", "language": "en", "annotator": "Ada"} | said
    return {
        "format": "babelscope/annotation",
        "format_version": 1,
        **about,
        "items_digest": compute_items_digest(about["model"], about["language"], items),
        "items": [{"id": i.id, "key": i.key, "text_sha256": i.text_sha256} for i in items],
        "judgements": [{"id": i.id, "judgement": "left"} for i in items],
    }
