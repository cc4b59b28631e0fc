"""The notebooks of docs/ run as committed, each in a process of its own: with tiny models here."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from tests.support import ROOT
from tests.tiny import save_model

from babelscope.comparison.frequency import write_frequency
from babelscope.recording.counts import ActivationCounts, write_activations

NOTEBOOKS = sorted(path.name for path in (ROOT / "docs").glob("*.ipynb"))


def cells(name):
    return json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))["cells"]


def run(name, folder):
    """Output of a notebook's cells, one after the other, in a folder."""
    code = ["".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "code"]
    # the one line that is no Python: a Jupyter shows figures in place
    assert "\n".join(code).count("\n%") + code[0].startswith("%matplotlib inline\n") == 1
    code[0] = code[0].removeprefix("%matplotlib inline\n")
    code.append("figure.savefig('shown.png')\n")
    command = [sys.executable, "-c", "\n".join(code)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (folder / "shown.png").stat().st_size > 1000
    return result.stdout


def test_there_are_the_two_notebooks_that_the_readme_names():
    assert NOTEBOOKS == ["no_workflow.ipynb", "results.ipynb"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"docs/{name}" in readme for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_without_outputs(name):
    assert not any(cell.get("outputs") for cell in cells(name))


def test_the_notebook_of_results_has_three_cells_and_reads_a_finished_study(tmp_path):
    folder = tmp_path / "results" / "gemma-3-270m"
    codes, rng, top_k = ["en", "fr", "hi"], np.random.default_rng(0), 4
    frequency = []
    for code in codes:
        active = np.array([rng.permutation(12)[:top_k] for _ in range(50)])
        n_active = np.bincount(active.ravel(), minlength=12).reshape(1, 2, 6)
        counts = ActivationCounts(n_active, np.array([50]), top_k)
        says = {"model": "gemma-3-270m", "language": code, "variant": "main"}
        digests = {"experts_sha256": "0", "documents_sha256": "0"}
        write_activations(folder / "activations" / f"{code}.h5", counts, **says, **digests)
        frequency.append(counts.frequency)
    write_frequency(folder / "frequency.h5", np.stack(frequency), codes, "gemma-3-270m")
    assert sum(cell["cell_type"] == "code" for cell in cells("results.ipynb")) == 3
    output = run("results.ipynb", tmp_path)
    assert "3 languages, 2 layers of 6 experts" in output
    shared = [int(line.split()[-2]) for line in output.splitlines() if line.startswith("high-frequency")]
    assert len(shared) == 4 and sum(shared) == 12


def test_the_notebook_without_a_workflow_makes_experts_counts_similarity_and_losses(tmp_path):
    save_model(tmp_path / "gemma-3-270m", "llama", max_position_embeddings=512)
    output = run("no_workflow.ipynb", tmp_path)
    assert "llama: 3 layers of 24 neurons" in output
    assert output.count("of the experts are high-frequency") == 4
    assert output.count("nats per token") == 4
    assert not (tmp_path / ".snakemake").exists()
