"""The whole DAG on a tiny model: every file is there and holds what the contract says."""

from __future__ import annotations

import base64
import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from tests.explorer_pages import read_embedded
from tests.support import (
    ROOT,
    annotation_export,
    change_config,
    make_study,
    planned_jobs,
    read_config,
    run_snakemake,
)

from babelscope.model.info import read_model_info
from babelscope.pruning.layer_costs import Reference, read_layer_costs
from babelscope.pruning.pruned_model import read_plans
from babelscope.pruning.selectors import SELECTORS

LANGUAGES, METHOD = ("en", "hi"), "second_order_by_loss"
N_LAYERS, D_FF, N_EXPERTS, TOP_K = 2, 24, 8, 4


def results(study: Path) -> Path:
    return study / "results" / "tiny"


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_h5_file_says_what_it_is(finished_study):
    files = sorted(results(finished_study).rglob("*.h5"))
    assert len(files) > 10
    for path in files:
        assert path.read_bytes().startswith(b"babelscope sha256 "), path
        with h5py.File(path) as file:
            assert file.attrs["format"].startswith("babelscope/"), path
            assert file.attrs["format_version"] >= 1
            assert file.attrs["model"] == "tiny"
            assert file.attrs["created_by"].startswith("babelscope ")
            for dataset in file.values():
                assert len(dataset.attrs["dims"]) == dataset.ndim or dataset.ndim == 0
                assert dataset.attrs["description"]


def test_corpora_hold_disjoint_documents(finished_study):
    for language in LANGUAGES:
        lines = (finished_study / "results" / "corpora" / f"{language}.jsonl").read_text().splitlines()
        documents = [json.loads(line) for line in lines]
        assert all(set(document) == {"id", "text", "split", "language", "seal"} for document in documents)
        split = [{d["text"] for d in documents if d["split"] == s} for s in ("profile", "heldout")]
        assert [len(part) for part in split] == [20, 5]
        assert not split[0] & split[1]


def test_model_and_tokens(finished_study):
    model = json.loads((results(finished_study) / "model.json").read_text())
    assert (model["family"], model["gated"]) == ("llama", True)
    assert (model["n_layers"], model["d_model"], model["d_ff"]) == (N_LAYERS, 16, D_FF)
    for language in LANGUAGES:
        with h5py.File(results(finished_study) / "tokens" / f"{language}.h5") as file:
            offsets, heldout = file["offsets"][:], file["heldout"][:]
            assert file["token_ids"].dtype == np.int32
            assert offsets[-1] == len(file["token_ids"]) and len(offsets) == 26
            assert np.diff(offsets).max() <= 30
            assert heldout.sum() == 5
            assert 0 not in file["token_ids"][:]  # BOS is put there when the model runs


def test_experts_are_balanced(finished_study):
    with h5py.File(results(finished_study) / "experts.h5") as file:
        labels = file["labels"][:]
    assert labels.shape == (N_LAYERS, D_FF) and labels.dtype == np.int32
    for layer, row in enumerate(labels):
        assert (np.bincount(row, minlength=N_EXPERTS) == D_FF // N_EXPERTS).all()
        with h5py.File(results(finished_study) / "experts" / f"layer_{layer:02d}.h5") as file:
            np.testing.assert_array_equal(file["labels"][:], row)
            assert 0 < file["sse"][()] <= file["sse_random"][()]


def test_each_token_has_top_k_active_experts_in_every_block(finished_study):
    folders = [results(finished_study), *(results(finished_study) / "variants").iterdir()]
    assert len(folders) == 5  # the main partition, two controls, two other seeds
    for folder in folders:
        for language in LANGUAGES:
            with h5py.File(folder / "activations" / f"{language}.h5") as file:
                n_active, n_tokens = file["n_active"][:], file["n_tokens"][:]
            assert n_active.shape == (4, N_LAYERS, N_EXPERTS) and n_active.dtype == np.int64
            np.testing.assert_array_equal(n_active.sum(axis=(1, 2)), TOP_K * n_tokens)
            with h5py.File(results(finished_study) / "tokens" / f"{language}.h5") as file:
                lengths = np.diff(file["offsets"][:])[~file["heldout"][:]]
            assert n_tokens.tolist() == lengths.reshape(4, 5).sum(axis=1).tolist()


def test_sums_of_neurons_are_of_the_tokens_that_were_counted(finished_study):
    for language in LANGUAGES:
        with h5py.File(results(finished_study) / "activations" / f"{language}.h5") as file:
            n_tokens = file["n_tokens"][:]
        with h5py.File(results(finished_study) / "neurons" / f"{language}.h5") as file:
            assert file["n_tokens"][:].tolist() == n_tokens.tolist()
            n_positive, squares = file["n_positive"][:], file["sum_of_squares"][:]
        assert n_positive.shape == squares.shape == (4, N_LAYERS, D_FF)
        assert 0.2 < n_positive.sum() / (n_tokens.sum() * N_LAYERS * D_FF) < 0.8  # gates of a random model
        assert (squares > 0).all()


def test_tables_follow_from_the_counts(finished_study):
    folder = results(finished_study)
    frequency = []
    for language in LANGUAGES:
        with h5py.File(folder / "activations" / f"{language}.h5") as file:
            frequency.append(file["n_active"][:].sum(axis=0) / file["n_tokens"][:].sum())
    with h5py.File(folder / "frequency.h5") as file:
        np.testing.assert_allclose(file["frequency"][:], frequency)
        assert list(file["languages"].asstr()) == list(LANGUAGES)
    distance = np.linalg.norm(frequency[0] - frequency[1])
    table = read_csv(folder / "similarity_euclidean.csv")
    assert [row["language"] for row in table] == list(LANGUAGES)
    assert float(table[0]["hi"]) == pytest.approx(distance, rel=1e-5)
    assert float(read_csv(folder / "similarity_pearson.csv")[0]["en"]) == pytest.approx(1)
    kl = read_csv(folder / "similarity_kl.csv")
    assert float(kl[0]["hi"]) != float(kl[1]["en"])
    high = (np.array(frequency) >= 0.05).sum(axis=0)
    expected = [{"n_languages": str(m), "n_experts": str((high == m).sum())} for m in range(3)]
    assert read_csv(folder / "sharing.csv") == expected


def test_all_languages_keep_as_many_neurons_of_each_layer_by_costs_measured_once(finished_study, monkeypatch):
    monkeypatch.chdir(finished_study)  # model.json names its weights from there
    folder = results(finished_study)
    info = read_model_info(folder / "model.json", read_config(finished_study)["model_definitions"])
    costs = read_layer_costs(folder / "layer_costs.h5", info, Reference(LANGUAGES, 200, METHOD))
    sizes = costs.sizes(0.6)
    assert sizes.sum() == round(0.6 * info.n_layers * info.d_ff) and sizes.min() < sizes.max()
    plans = [folder / "pruned" / f"{lang}.safetensors" for lang in LANGUAGES]
    for plan in read_plans(plans, info, LANGUAGES, method=METHOD).values():
        assert plan.keep.sum(axis=1).tolist() == sizes.tolist()


def test_pruning_table_has_the_contracts_columns(finished_study):
    rows = read_csv(results(finished_study) / "pruning.csv")
    assert [row["language"] for row in rows] == list(LANGUAGES)
    contract = (
        "language,proportion_high,nll_dense,nll_pruned,perplexity_dense,perplexity_pruned,"
        "bits_per_byte_dense,bits_per_byte_pruned,ffn_parameters_kept,parameters_kept"
    )
    assert ",".join(rows[0]).startswith(contract)
    assert {"nll_compensated", "nll_random_mean", "nll_random_sd", "nll_standard_error_dense"} <= set(rows[0])
    measured = ("rise_pruned", "rise_finished", "nll_unigram", "nll_uniform", "nll_output_norm")
    for row in rows:
        assert row["n_random"] == "3" and 0 <= float(row["p_random_beats_chosen"]) <= 1
        rise = float(row["nll_pruned"]) - float(row["nll_dense"])
        assert float(row["rise_pruned"]) == pytest.approx(rise, abs=1e-4)
        assert all(np.isfinite(float(row[name])) for name in measured)
        # the paper's experts and the controls are compensated where that is asked for: each takes as long
        assert row["nll_random_compensated_mean"] == row["nll_output_norm_compensated"] == ""
        assert row["nll_compensated"] == row["rise_compensated"] == ""
        assert float(row["ffn_parameters_kept_finished"]) == pytest.approx(0.6, abs=0.05)
        assert np.exp(float(row["nll_dense"])) == pytest.approx(float(row["perplexity_dense"]), rel=1e-4)
        assert 0 < float(row["parameters_kept"]) <= 1
    controls = {row["control"]: row for row in read_csv(results(finished_study) / "pruning_controls.csv")}
    assert controls["random"]["interval"] == "languages and draws" and controls["random"]["n_draws"] == "3"
    assert controls["random_compensated"]["interval"].startswith("not measured")
    speed = read_csv(results(finished_study) / "pruning_speed.csv")
    wanted = "language,phase,batch_size,dense_tokens_per_second,sliced_tokens_per_second,ratio,ideal_ratio"
    assert ",".join(speed[0]).startswith(wanted)
    assert {row["phase"] for row in speed} == {"prefill", "decode"}


def test_figures_are_there_as_png_and_svg(finished_study):
    folder = results(finished_study) / "figures"
    for name in ("frequency_en", "frequency_hi", "similarity_kl", "sharing", "pruning"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"</svg>" in (folder / f"{name}.svg").read_bytes()
    assert b"Hindi" in (folder / "frequency_hi.svg").read_bytes()


def test_run_config_is_the_merged_configuration(finished_study):
    merged = yaml.safe_load((finished_study / "results" / "run_config.yaml").read_text())
    assert merged["languages"] == list(LANGUAGES)
    assert merged["model_definitions"]["tiny"]["dtype"] == "float32"  # a default of the schema


def test_nothing_is_left_elsewhere_or_half_written(finished_study):
    made = {path.name for path in finished_study.iterdir()}
    parts = {"Snakefile", "rules", "workflow", "config", "resources", "profiles", "envs"}
    parts |= {"tiny-model", "text"}
    assert made - parts <= {"results", "logs", "benchmarks", ".snakemake"}
    left = [path for path in finished_study.rglob("*") if path.suffix in (".part", ".npz")]
    assert not left


def test_a_second_run_does_nothing(study):
    result = run_snakemake(study)
    assert "Nothing to be done" in result.stdout


def test_report_carries_figures_and_tables(study):
    run_snakemake(study, "--report", "report.html", check=True)
    report = (study / "report.html").read_text(encoding="utf-8")
    for name in ("frequency_en.png", "similarity_kl.png", "sharing.png", "pruning.csv", "similarity_kl.csv"):
        assert name in report
    assert "results/tiny/explorer.html" in report
    assert "placeholder" not in report.split("<script")[0]


def test_full_target_paper_configuration_and_first_look_make_a_plan(tmp_path, monkeypatch):
    study = make_study(tmp_path / "study")
    rules = {rule for rule, _ in planned_jobs(study, "full")}
    assert {"evaluate_matrix", "trace_frontier"} <= rules
    shutil.copy(ROOT / "config" / "config.yaml", study / "config" / "config.yaml")
    # on a GPU layers come eight to a job
    monkeypatch.setenv("BABELSCOPE_GPUS", "")
    jobs = planned_jobs(study, "--configfile", "config/paper.yaml")
    assert sum(rule == "cluster_layer" for rule, _ in jobs) == 32
    assert sum(rule == "record_activations" for rule, _ in jobs) == 9
    # the first look has three languages and every stage of the default study; its layers are of equal size
    everything = {rule for rule, _ in planned_jobs(study)}
    first_look = planned_jobs(study, "--configfile", "config/quick.yaml")
    assert {rule for rule, _ in first_look} == everything - {"measure_layer_costs"}
    assert sum(rule == "record_activations" for rule, _ in first_look) == 3


def summarised_annotation(study):
    """Languages of ``annotations.csv``, when somebody has judged the page of one."""
    from babelscope.responses.page import make_items, read_judged

    judged = read_judged(results(study) / "responses" / "hi.jsonl", "pruned", model="tiny", language="hi")
    export = annotation_export(make_items(judged, language="hi", seed=0), language="hi")
    (study / "annotations" / "tiny").mkdir(parents=True)
    (study / "annotations" / "tiny" / "ada.json").write_text(json.dumps(export), encoding="utf-8")
    run_snakemake(study, "results/tiny/annotations.csv", check=True)
    return {row["language"] for row in read_csv(results(study) / "annotations.csv")}


def test_what_full_adds_and_an_exported_model(study):
    change_config(study, {"responses": {"prompts": 4, "new_tokens": 6}})
    names = ["responses", "pruning_matrix", "pruning_frontier", "evidence/frontier_claims", "ablation"]
    names += ["selectors", "perplexity", "pruning", "claims"]
    tables = [f"results/tiny/{name}.csv" for name in names]
    few = {"heldout_documents": 3, "other_documents": 2, "profile_documents": 10, "draws": 1}
    texts = {"calibration": {"files": "text/en.txt"}, "text": {"files": "text/hi.txt"}}
    change_config(
        study,
        {
            "selectors": few,
            "pruning": {"partition_documents": 3},
            "explorer": {"ablation": True},
            "perplexity": {**texts, "window": 32, "calibration_windows": 4, "removed": [0.05]},
        },
    )
    pages = ["results/tiny/annotation/hi.html", "results/tiny/explorer.html"]
    run_snakemake(study, "export_hi", *pages, *tables, check=True)
    selectors = read_csv(results(study) / "selectors.csv")
    assert {row["selector"] for row in selectors} == set(SELECTORS)
    assert {row["language"] for row in selectors} == {*LANGUAGES, "all"}
    assert all(float(row["own_low"]) <= float(row["own_high"]) for row in selectors)
    assert {row["n_partitions"] for row in read_csv(results(study) / "pruning.csv")} == {"3"}
    rises = [row for row in read_csv(results(study) / "claims.csv") if row["id"].startswith("loss.rise")]
    assert len(rises) == 3 and not any("one partition" in row["statistic"] for row in rises)
    perplexity = read_csv(results(study) / "perplexity.csv")
    assert [row["method"] for row in perplexity] == ["dense", "second_order", "wanda_sp", "flap"]
    assert all(float(row["perplexity"]) > 1 for row in perplexity)
    matrix = read_csv(results(study) / "pruning_matrix.csv")
    cells = {(row["language"], row["experts_of"], row["selection"]) for row in matrix}
    selections = ("threshold", "same_size", "compensated", "same_size_corrected")
    kinds = [("", "dense"), *((e, s) for s in selections for e in LANGUAGES)]
    assert cells == {(language, *kind) for language in LANGUAGES for kind in kinds}
    kept_own = [r for r in matrix if r["experts_of"] == r["language"] and r["selection"] == "threshold"]
    own = {row["language"]: row for row in kept_own}
    for row in read_csv(results(study) / "pruning.csv"):
        assert float(own[row["language"]]["nll"]) == pytest.approx(float(row["nll_pruned"]), rel=1e-4)
        (finished,) = [
            r
            for r in matrix
            if r["experts_of"] == r["language"] == row["language"] and r["selection"] == "compensated"
        ]
        assert float(finished["nll"]) == pytest.approx(float(row["nll_finished"]), rel=1e-4)
    frontier = read_csv(results(study) / "pruning_frontier.csv")
    assert {"dense", "random", "most_frequent_compensated"} <= {row["method"] for row in frontier}
    for method in ("random", "random_same_layers"):
        draws = [r["draw"] for r in frontier if (r["method"], r["language"]) == (method, "en")]
        assert draws == ["0", "1", "2"] * (len(draws) // 3) and draws
    ablation = read_csv(results(study) / "ablation.csv")
    assert {row["kind"] for row in ablation} <= {"experts", "neurons"}
    assert all(int(row["n_units"]) > 0 and row["own_minus_others"] for row in ablation)
    explorer = read_embedded(results(study) / "explorer.html", "data")
    assert explorer["ablation"] == ablation
    units = json.loads((results(study) / "ablation" / "units.json").read_text(encoding="utf-8"))["rows"]
    own = np.frombuffer(base64.b64decode(explorer["own_neurons"]), "u1").reshape(2, -1)
    for number, code in enumerate(LANGUAGES, start=1):
        found = [np.flatnonzero(layer == number).tolist() for layer in own]
        removed = [row["neurons"] for row in units if (row["kind"], row["language"], row["set"]) ==
                   ("neurons", code, "specific")]  # fmt: skip
        assert found == (removed[0] if removed else [[], []])
    lines = (results(study) / "responses" / "hi.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(lines[0])) == {
        *("prompt", "dense", "pruned", "compensated", "mode", "id"),
        *("model", "language", "seal"),
    }
    claims = read_csv(results(study) / "evidence" / "frontier_claims.csv")
    assert {"random.random_loss_at:50", "layer_rates.layer_rates_at:90"} <= {row["id"] for row in claims}
    assert summarised_annotation(study) == {"hi", "all"}
    page = (results(study) / "annotation" / "hi.html").read_text(encoding="utf-8")
    assert "<script" in page and "http" not in page.split("<script")[0].replace("http-equiv", "")
    from babelscope.pruning.export import load_exported

    exported = results(study) / "export" / "hi"
    sliced, padded = (load_exported(exported / form) for form in ("sliced", "padded"))
    ids = torch.tensor([[0, 5, 9, 30]])
    torch.testing.assert_close(sliced(input_ids=ids).logits, padded(input_ids=ids).logits)
