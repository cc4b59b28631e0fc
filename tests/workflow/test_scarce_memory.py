"""A study whose jobs run out of memory goes on in smaller parts and finds the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import pytest
from tests.support import change_config, run_snakemake

SCARCE = Path(__file__).parent / "scarce"
MADE = ("activations/en.h5", "pruned/en.safetensors", "pruning/en.json")


def make(study, **options):
    """Counts, row of ``pruning.csv`` and output of one language that is recorded, pruned and evaluated."""
    results = study / "results" / "tiny"
    for name in MADE:
        (results / name).unlink()
    run = run_snakemake(study, "--", *(f"results/tiny/{name}" for name in MADE), check=True, **options)
    with h5py.File(results / MADE[0]) as file:
        counts = file["n_active"][()]
    return counts, json.loads((results / MADE[2]).read_text(encoding="utf-8")), run.stdout


def test_jobs_without_memory_to_spare_make_the_same_files(study):
    change_config(study, {"sharing": {"threshold": 0.2}})  # some experts of every layer go
    counts, row, _ = make(study)
    assert 0 < row["proportion_high"] < 1
    again, scarce, said = make(study, env={"PYTHONPATH": str(SCARCE)})
    assert "out of GPU memory: batches of 64 tokens from here on" in said
    assert re.search(r"out of GPU memory: layer \d is solved on the host", said)
    assert (again == counts).all()
    for column in ("nll_dense", "nll_pruned", "nll_finished", "nll_random_mean", "nll_output_norm"):
        assert scarce[column] == pytest.approx(row[column], rel=1e-4), column
