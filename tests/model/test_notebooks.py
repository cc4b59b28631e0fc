"""The notebooks of docs/ run as committed, each in a process of its own: with tiny models here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.support import ROOT
from tests.tiny import save_model

NOTEBOOKS = sorted(path.name for path in (ROOT / "docs").glob("*.ipynb"))


def cells(name):
    return json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))["cells"]


def run(name, folder, model="gemma-3-270m"):
    """Output of a notebook's cells, one after the other, in a folder."""
    code = ["".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "code"]
    assert sum(cell.count("gemma-3-270m") for cell in code) == 1
    code = [cell.replace("gemma-3-270m", model) for cell in code]
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


def test_the_notebook_of_results_has_three_cells_and_reads_a_finished_study(finished_study, tmp_path):
    """The folder that a reader has after ``make run``, with the tiny model in the notebook's one path."""
    (tmp_path / "results").symlink_to(finished_study / "results")
    assert sum(cell["cell_type"] == "code" for cell in cells("results.ipynb")) == 3
    output = run("results.ipynb", tmp_path, model="tiny")
    assert "2 languages, 2 layers of 8 experts" in output
    shared = [int(line.split()[-2]) for line in output.splitlines() if line.startswith("high-frequency")]
    table = (finished_study / "results" / "tiny" / "sharing.csv").read_text(encoding="utf-8")
    assert shared == [int(line.split(",")[1]) for line in table.splitlines()[1:]]


def test_the_notebook_without_a_workflow_makes_experts_counts_similarity_and_losses(tmp_path):
    save_model(tmp_path / "gemma-3-270m", "llama", max_position_embeddings=512)
    output = run("no_workflow.ipynb", tmp_path)
    assert "llama: 3 layers of 24 neurons" in output
    assert output.count("of the experts are high-frequency") == 4
    assert output.count("nats per token") == 4
    assert not (tmp_path / ".snakemake").exists()
