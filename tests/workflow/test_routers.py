"""A tiny mixture of experts through the workflow: recorded, tabulated, pruned and exported."""

from __future__ import annotations

import base64
import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tests.explorer_pages import read_embedded
from tests.support import make_study, run_snakemake, whole_plan

LANGUAGES = ("en", "fr")
TABLES = ["results/tiny/routing.csv", "results/tiny/routed_pruning.csv"]
PAGE = "results/tiny/explorer.html"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {
        "experts": {"method": "router"},
        "recording": {"documents_per_block": 4, "documents_per_segment": 8},
        "evidence": {"replicates": 100},
        "explorer": {"ablation": True},
        "contexts": {"experts": 2, "shared": 2, "units": ["L1E7"]},
        "pruning": {"random_seeds": 1, "unions": {"both": list(LANGUAGES)}},
    }
    folder = make_study(tmp_path_factory.mktemp("routers"), LANGUAGES, family="olmoe", config=changes)
    run_snakemake(folder, *TABLES, PAGE, "export_both", check=True)
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
        assert 0 <= float(row["choices_lost"]) < 1
        if row["selection"] == "dense":
            assert float(row["rise"]) == float(row["choices_lost"]) == 0
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


def unpacked(data: dict[str, Any], name: str) -> np.ndarray:
    shape = (len(LANGUAGES), len(data["layers"]), data["experts"])
    return np.frombuffer(base64.b64decode(data[name]), "<f4").reshape(shape)


def test_the_explorer_shows_routed_experts_with_the_numbers_of_the_files(study):
    folder = study / "results" / "tiny"
    data = read_embedded(study / PAGE, "data")
    assert (data["routed"], data["layers"], data["sizes"], data["experts"]) == (True, [0, 1], [8, 8], 8)
    assert "labels" not in data and "pruning" not in data and data["controls"] == {}
    with h5py.File(folder / "frequency.h5") as file:
        np.testing.assert_allclose(unpacked(data, "frequency"), file["frequency"][()], rtol=1e-6)
    for number, language in enumerate(LANGUAGES):
        with h5py.File(folder / "activations" / f"{language}.h5") as file:
            gate, n_active = (file[name][()].sum(axis=0) for name in ("gate_weight", "n_active"))
        seen = n_active > 0
        weight = unpacked(data, "weight")[number]
        np.testing.assert_allclose(weight[seen], gate[seen] / n_active[seen], rtol=1e-5)
        assert np.isnan(weight[~seen]).all()
    removed = [row for row in read_csv(folder / "routed_pruning.csv") if row["selection"] == "removed"]
    assert data["removal"] == removed and len(removed) == len(LANGUAGES) ** 2
    assert {code: len(cells) for code, cells in data["removed"].items()} == dict.fromkeys(LANGUAGES, 2 * 3)
    difference = np.subtract(*unpacked(data, "frequency"))  # en less fr
    for code, beyond in (("en", difference), ("fr", -difference)):
        for layer in range(2):
            own = {expert for where, expert in data["removed"][code] if where == layer}
            assert own == set(np.argsort(-beyond[layer], kind="stable")[:3].tolist())


def test_contexts_of_routed_experts_are_tokens_that_the_router_sent_there(study):
    contexts = read_embedded(study / PAGE, "contexts")
    assert "L1E7" in contexts and not [name for name in contexts if "N" in name]
    for name, unit in contexts.items():
        layer, expert = map(int, name.removeprefix("L").split("E"))
        for language, rows in unit["by"].items():
            with h5py.File(study / "results" / "tiny" / "peaks" / f"{language}.h5") as file:
                assert "neuron_score" not in file
                best = file["expert_score"][:, layer, expert]
                active = file["token_active"][:, layer, expert]
                weights = file["token_z"][:, layer, expert][active]
            tops, random = ([row[1] for row in rows if row[0] == which] for which in (0, 1))
            np.testing.assert_allclose(tops, best[best > 0], rtol=1e-5)
            np.testing.assert_allclose(random, weights[:3], rtol=1e-5)
            assert all(row[5] for row in rows), "the token's text"


def test_the_whole_study_is_planned_without_cutting_neurons(study):
    rules = {planned.job[0] for planned in whole_plan(study, "full")}
    assert {
        "judge_claims",
        "plot_evidence",
        "index_experts",
        "tabulate_routing",
        "tabulate_routed",
        "write_explorer",
    } <= rules
    assert not rules & {"cluster_layer", "compensate", "evaluate_pruning", "make_control_partition"}
    assert "measure_layer_costs" not in rules
