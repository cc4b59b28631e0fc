"""A finished study whose files were tampered with, through Snakemake: no job goes on, and each says why."""

from __future__ import annotations

import os

import pytest
from tests.robustness.test_finished_study import of_an_older_version
from tests.support import change_config, run_snakemake


def files_of(study):
    """Content of every result, by path."""
    return {path: path.read_bytes() for path in (study / "results").rglob("*") if path.is_file()}


def half(path):
    return path.read_bytes()[:2000]


def one_name_changed(path):
    return path.read_bytes().replace(b"nll_pruned", b"nll_Pruned")


def from_beside(name):
    return lambda path: path.with_name(name).read_bytes()


# What others wait for comes in runs of its own: its followers are not even tried.
FIRST = {
    "tiny/experts/layer_00.h5": (of_an_older_version, "layer_00.h5: format_version is"),
    "corpora/en.jsonl": (from_beside("hi.jsonl"), "en.jsonl: made with language = 'hi', this run has 'en'"),
}
LAST = {
    "tiny/pruning/hi.json": (one_name_changed, "hi.json: damaged"),
    "tiny/evidence/intervals.json": (half, "intervals.json: cannot be read as JSON"),
    "tiny/frequency.h5": (from_beside("similarity.h5"), "frequency.h5: format is 'babelscope/similarity'"),
}


COUNTS = {
    "tiny/activations/en.h5": (from_beside("hi.h5"), "activations/en.h5: made with language = 'hi'"),
}
RUNS = {"first": (FIRST,), "last": (LAST,), "counts": (COUNTS, "results/tiny/similarity.h5")}


@pytest.mark.parametrize("run", RUNS)
def test_no_job_goes_on_with_a_file_that_was_tampered_with(study, run):
    damage, *targets = RUNS[run]
    for name, (change, _) in damage.items():
        path = study / "results" / name
        path.write_bytes(change(path))
    tampered = files_of(study)
    found = run_snakemake(study, "--keep-going", *targets)
    assert found.returncode != 0 and "Traceback" not in found.stdout
    assert "delete it and run again: rule " in " ".join(found.stdout.split())
    for name, (_, message) in damage.items():
        assert message in " ".join(found.stdout.split()), name
    # nothing was made from them: a result is as it was before, or gone
    for path, content in files_of(study).items():
        assert content == tampered[path], path


def test_a_wrong_look_of_figures_leaves_the_good_ones(study):
    before = files_of(study)
    change_config(study, {"figures": {"dpi": 30_000}})
    found = run_snakemake(study)
    assert found.returncode != 0 and "figures.dpi: 30000 is not allowed" in found.stdout
    assert ".smk" not in found.stdout and files_of(study) == before


def test_names_of_files_that_a_terminal_would_obey_are_refused_before_any_job(study):
    (study / "text" / "en\x1b]0;owned\x07.txt").write_text("a line\n")
    change_config(study, {"corpus": {"sources": {"default": {"files": "text/{lang}*.txt"}}}})
    found = run_snakemake(study, "-n", env={"NO_COLOR": "1", "TERM": os.environ.get("TERM", "dumb")})
    assert found.returncode != 0 and "may have no control characters" in found.stdout
    assert "\x1b]0;" not in found.stdout and "\\x1b]0;owned" in found.stdout
