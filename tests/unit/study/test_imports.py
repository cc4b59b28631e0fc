"""Jobs import what they need and nothing else: half of a short job is its start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.support import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
RUN_A_MODEL = {
    "check_model", "compensate", "evaluate_matrix", "evaluate_pruning", "export_pruned", "generate_responses",
    "distil", "measure_layer_costs",
    "measure_pruning_speed", "record_activations", "record_sweep", "trace_frontier", "score_routed_experts",
    "evaluate_routed", "export_routed",
    "evaluate_selectors", "measure_perplexity",
}  # fmt: skip
MATCH_UNITS = {"evaluate_ablations"}  # runs a model, and pairs units by means of scipy
OTHERS = {path.stem for path in SCRIPTS.glob("*.py")} - RUN_A_MODEL - MATCH_UNITS
READ_PEOPLE = {"summarise_annotations"}  # statsmodels brings pandas
DRAWING = ("plot_", "tabulate_", "compare_models", "compare_routing", "judge_sweep")
DRAW = {name for name in OTHERS if name.startswith(DRAWING)}
# What is said of a job: the adaptors, and packages that importing them must not load.
KINDS = {
    "model": (RUN_A_MODEL, {"transformers", "sklearn", "scipy", "pandas", "datasets", "matplotlib", "PIL"}),
    "other": (OTHERS - READ_PEOPLE, {"torch", "transformers", "sklearn", "pandas", "datasets"}),
    "table": (OTHERS - DRAW, {"matplotlib"}),
}


def packages_of(code):
    """Top-level packages that a program of its own has loaded when it ends; those hidden from it left out."""
    code += (
        "\nprint(json.dumps(sorted({n.partition('.')[0] for n, m in sys.modules.items() if m is not None})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import json, sys\n" + code],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SCRIPTS)},
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("kind", KINDS)
def test_what_adaptors_import_is_what_their_kind_of_job_needs(kind):
    adaptors, unwanted = KINDS[kind]
    loaded = packages_of("".join(f"import {name}\n" for name in sorted(adaptors)))
    assert "babelscope" in loaded
    assert not loaded & unwanted


def test_rule_files_import_little_more_than_the_standard_library():
    loaded = packages_of(
        "import babelscope.study.code_digest, babelscope.study.configuration, babelscope.study.languages\n"
        "import babelscope.study.gpus, babelscope.study.job, babelscope.text.sources"
    )
    assert not loaded & {"numpy", "torch", "scipy", "h5py", "pydantic", "tqdm", "threadpoolctl", "pandas"}


def test_a_job_that_runs_a_model_starts_transformers_without_what_no_job_calls():
    loaded = packages_of(
        "from types import SimpleNamespace\n"
        "from babelscope.study.job import run_job\n"
        "def main(job):\n"
        "    from transformers import AutoModelForCausalLM\n"
        "    from transformers.models.gemma3 import modeling_gemma3\n"
        "job = SimpleNamespace(log=[], threads=1, params=SimpleNamespace(compute={}))\n"
        "run_job(main, {'snakemake': job})"
    )
    assert "transformers" in loaded
    assert not loaded & {"sklearn", "scipy", "pandas", "PIL", "trio", "datasets", "matplotlib"}
