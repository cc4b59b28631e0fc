"""A tiny mixture of experts through the workflow: recorded, tabulated, pruned and exported."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tests.support import make_study, run_snakemake, whole_plan

LANGUAGES = ("en", "fr")
TABLES = ["results/tiny/routing.csv", "results/tiny/routed_pruning.csv"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {
        "experts": {"method": "router"},
        "recording": {"documents_per_block": 4, "documents_per_segment": 8},
        "evidence": {"replicates": 100},
        "pruning": {"random_seeds": 1, "unions": {"both": list(LANGUAGES)}},
    }
    folder = make_study(tmp_path_factory.mktemp("routers"), LANGUAGES, family="olmoe", config=changes)
    run_snakemake(folder, *TABLES, "export_both", check=True)
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_activations_hold_the_routers_choices(study):
    for language in LANGUAGES:
        with h5py.File(study / "results" / "tiny" / "activations" / f"{language}.h5") as file:
            n_active, n_tokens = file["n_active"][()], file["n_tokens"][()]
            assert (file.attrs["top_k"], file.attrs["n_layers_moe"]) == (3, 2)
            assert n_active.shape == (len(n_tokens), 2, 8)
            np.testing.assert_array_equal(n_active.sum(axis=(1, 2)), 3 * 2 * n_tokens)
            assert ((file["gate_weight"][()] > 0) == (n_active > 0)).all()
            assert (file["router_entropy"][()] <= n_tokens[:, None] * np.log(8) + 1e-6).all()


def test_every_pruned_model_has_as_many_experts_and_its_controls(study):
    rows = read_csv(study / TABLES[1])
    assert {row["selection"] for row in rows} == {
        "dense", "kept", "removed", "random", "frequency", "gate"
    }  # fmt: skip
    assert {row["n_kept"] for row in rows if row["selection"] != "dense"} == {"5"}
    assert {row["experts_of"] for row in rows if row["selection"] == "kept"} == {*LANGUAGES, "both"}
    for row in rows:
        if row["selection"] == "dense":
            assert float(row["rise"]) == 0
        else:
            assert float(row["rise_low"]) <= float(row["rise"]) <= float(row["rise_high"])


def test_the_exported_checkpoint_loads_with_plain_from_pretrained(study):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = study / "results" / "tiny" / "export" / "both" / "routed"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.num_experts == 5
    ids = AutoTokenizer.from_pretrained(folder)("a few words", return_tensors="pt").input_ids
    with torch.inference_mode():
        assert model(input_ids=ids).logits.isfinite().all()


def test_the_whole_study_is_planned_without_cutting_neurons(study):
    rules = {planned.job[0] for planned in whole_plan(study, "full")}
    assert {"judge_claims", "plot_evidence", "index_experts", "tabulate_routing", "tabulate_routed"} <= rules
    assert not rules & {"cluster_layer", "compensate", "evaluate_pruning", "make_control_partition"}
