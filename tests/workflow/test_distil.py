"""Distillation is a setting: with it finished models are trained, evaluated apart and exported."""

from __future__ import annotations

import json

from tests.support import change_config, job, planned_jobs, read_config, run_snakemake

from babelscope.model.info import read_model_info
from babelscope.pruning.pruned_model import DISTILLED, read_plan

SETTINGS = {"epochs": 1, "learning_rate": 0.001, "seed": 0}


def test_models_are_trained_where_it_is_asked_for_one_for_each_language_and_union(study, monkeypatch):
    results = study / "results" / "tiny"
    before = json.loads((results / "pruning" / "en.json").read_text())
    assert before["nll_distilled"] is before["rise_distilled"] is None
    assert not (results / "distilled").exists()

    change_config(study, {"pruning": {"distil_epochs": 1, "distil_rate": 0.001}})
    targets = [f"results/tiny/{name}" for name in ("pruning/en.json", "export/en/sliced")]
    run_snakemake(study, "--max-threads", "1", *targets, check=True)
    row = json.loads((results / "pruning" / "en.json").read_text())
    assert row["nll_finished"] == before["nll_finished"] != row["nll_distilled"]
    assert sum(row["documents"]["distilled"]) / row["n_predicted"] == row["nll_distilled"]
    monkeypatch.chdir(study)  # where the weights lie is relative
    info = read_model_info(results / "model.json", read_config(study)["model_definitions"])
    plan = read_plan(results / "distilled" / "en.safetensors", info, "en", DISTILLED, **SETTINGS)
    assert len(plan.down) == len(plan.up) == len(plan.gate) == 2
    assert "distilled" in (results / "export" / "en" / "sliced" / "README.md").read_text()

    unions = {"both": ["en", "hi"]}
    change_config(study, {"languages": ["en", "hi", "ar"], "pruning": {"unions": unions}})
    jobs = planned_jobs(study, "all", "export_both")
    assert {found for found in jobs if found[0] == "distil"} == {
        job("distil", model="tiny", target=target) for target in ("hi", "ar", "both")
    }
    assert not [wildcards for _, wildcards in jobs if "=en" in wildcards]
