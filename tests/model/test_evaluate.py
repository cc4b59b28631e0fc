"""One language evaluated on a tiny model: its experts, their controls, the draws of the frontier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import N_TOKENS, make_corpus, make_model, save_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.families import DENSE_FAMILIES, FAMILIES
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.control_tables import control_gains
from babelscope.pruning.controls import ControlSettings
from babelscope.pruning.evaluate import Choice, evaluate_language, plan_pruning
from babelscope.pruning.frontier import RANDOM_METHODS, frontier_methods, trace_frontier
from babelscope.pruning.methods import METHODS
from babelscope.pruning.moments import gather_moments
from babelscope.pruning.walk import LayerWalk
from babelscope.text.tokens import join_corpora

COMPUTE = Compute(device="cpu")
CORPUS = make_corpus([9, 7, 12, 5] * 6, n_heldout=8)
FREQUENCY = np.random.default_rng(3).random((3, 8)) * 0.12


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp("model"))
    partition = ExpertPartition(np.tile(np.arange(24) % 8, (3, 1)).astype(np.int32), 8)
    return describe_model("tiny", folder, n_layers=3, origin="test"), partition


PAPER = Choice("threshold", 0.05, 1.0)


def evaluate(tiny, choice=PAPER, **controls):
    info, partition = tiny
    plan, _ = plan_pruning(info, COMPUTE, [CORPUS], partition, [FREQUENCY], choice, 12)
    settings = ControlSettings(
        **({"n_random": 2, "n_compensated": 0, "n_documents": 12, "seed": 0} | controls)
    )
    return evaluate_language(info, COMPUTE, CORPUS, partition, plan, FREQUENCY, "en", settings, choice)


def test_the_papers_experts_keep_their_columns_beside_a_finished_model_of_neurons(tiny):
    paper, row = evaluate(tiny), evaluate(tiny, Choice("second_order", 0.05, 0.75))
    for name in ("proportion_high", "nll_pruned", "nll_compensated", "nll_output_norm", "nll_random_mean"):
        assert row[name] == pytest.approx(paper[name], rel=1e-5), name
    assert paper["nll_finished"] == paper["nll_compensated"] != row["nll_finished"]
    plain = evaluate(tiny, Choice("second_order", 0.05, 0.75), paper_compensated=False)
    assert plain["nll_compensated"] is plain["rise_compensated"] is None
    assert control_gains([plain], "random_compensated") is None
    assert "compensated" not in plain["documents"] and plain["nll_finished"] == row["nll_finished"]
    assert row["ffn_parameters_kept_finished"] == pytest.approx(0.75)
    assert row["rise_finished"] == pytest.approx(row["nll_finished"] - row["nll_dense"])


def test_plain_removal_is_repeated_with_the_experts_of_another_partition(tiny):
    info, partition = tiny
    plan, _ = plan_pruning(info, COMPUTE, [CORPUS], partition, [FREQUENCY], PAPER, 12)
    other = ExpertPartition(np.tile(np.arange(24) // 3, (3, 1)).astype(np.int32), 8)
    settings = ControlSettings(n_random=1, n_compensated=0, n_documents=12, seed=0, n_partition=5)
    asked = (info, COMPUTE, CORPUS, partition, plan, FREQUENCY, "en", settings, PAPER)
    row = evaluate_language(*asked, {"same": (partition, FREQUENCY), "seed_1": (other, FREQUENCY)})
    documents = row["documents"]
    assert row["n_partitions"] == 3
    assert documents["partition_same"] == pytest.approx(documents["pruned"][:5])
    assert documents["partition_seed_1"] != pytest.approx(documents["pruned"][:5])


def test_relative_errors_count_where_the_family_normalises_what_a_layer_says():
    second = METHODS["second_order"]
    assert second.settings("gemma3_text").relative and second.settings("gemma2").relative
    assert not second.settings("llama").relative and second.settings("llama").first_token
    assert not METHODS["wanda_sp"].settings("gemma3_text").relative
    named = {name for name, family in FAMILIES.items() if family.normalised}
    for name in DENSE_FAMILIES:
        block = StudyModel(make_model(name)).blocks[0]
        names = [child for child, _ in block.named_children() if "norm" in child]
        after = any("post_feedforward" in child or "post_mlp" in child for child in names)
        assert (name in named) == after, name


@pytest.mark.parametrize("method", list(METHODS))
def test_a_union_keeps_neurons_chosen_on_the_documents_of_all_its_languages(tiny, method):
    info, partition = tiny
    corpora = [CORPUS, make_corpus([8] * 20, n_heldout=2, seed=5)]
    choice = Choice(method, 0.05, 0.5)
    plan, fits = plan_pruning(info, COMPUTE, corpora, partition, [FREQUENCY] * 2, choice, 20)
    sizes = plan.keep.sum(axis=1).tolist()
    assert sum(sizes) == 36 and (METHODS[method].by_loss or sizes == [12, 12, 12])
    assert [columns.shape[1] for columns in plan.down] == sizes
    alone = [plan_pruning(info, COMPUTE, [c], partition, [FREQUENCY], choice, 20)[0] for c in corpora]
    assert len(fits) == 3 and any((one.keep != plan.keep).any() for one in alone)
    # two layers may keep the same neurons; their columns are fitted to the documents of both all the same
    for one in alone:
        pairs = zip(one.down, plan.down, strict=True)
        assert all(own.shape != both.shape or not np.allclose(own, both, rtol=1e-3) for own, both in pairs)


def test_a_language_has_its_rises_its_baselines_and_as_many_controls_as_asked_for(tiny):
    row = evaluate(tiny, n_compensated=3)
    assert row["rise_pruned"] == pytest.approx(row["nll_pruned"] - row["nll_dense"])
    assert row["rise_compensated"] == pytest.approx(row["nll_compensated"] - row["nll_dense"])
    assert row["nll_uniform"] == pytest.approx(np.log(N_TOKENS))
    assert (row["n_random"], row["n_random_compensated"]) == (2, 3)
    losses = [sum(row["documents"][f"random_{n}"]) / row["n_predicted"] for n in range(2)]
    assert row["nll_random_mean"] == pytest.approx(np.mean(losses))
    assert row["nll_random_sd"] == pytest.approx(np.std(losses, ddof=1))
    assert row["p_random_beats_chosen"] == np.mean(np.array(losses) < row["nll_pruned"])
    for name in ("output_norm", "output_norm_compensated", "least_frequent_compensated"):
        assert row[f"nll_{name}"] == pytest.approx(sum(row["documents"][name]) / row["n_predicted"])


def test_a_control_that_reads_the_first_documents_adds_its_difference_on_these_to_the_loss_of_all(tiny):
    all_of_them, row = evaluate(tiny), evaluate(tiny, n_heldout=1)
    documents = row["documents"]
    assert documents["random_1"] == pytest.approx(all_of_them["documents"]["random_1"][:1])
    assert documents["pruned"] == all_of_them["documents"]["pruned"]
    losses = [
        row["nll_pruned"]
        + (documents[f"random_{n}"][0] - documents["pruned"][0]) / documents["n_predicted"][0]
        for n in range(2)
    ]
    assert row["nll_random_mean"] == pytest.approx(np.mean(losses))
    assert control_gains([row], "random")[0] == pytest.approx(np.array(losses) - row["nll_pruned"])


def test_compensated_controls_are_empty_where_none_is_asked_for(tiny):
    row = evaluate(tiny, n_random=1)
    assert row["nll_random_sd"] is None and row["nll_random_mean"] is not None
    for name in ("random_compensated_mean", "output_norm_compensated", "least_frequent_compensated"):
        assert row[f"nll_{name}"] is None
    assert not any("compensated" in name for name in row["documents"] if name != "compensated")


def test_the_frontier_draws_random_experts_in_both_allocations_and_names_empty_layers(tiny):
    info, partition = tiny
    frequency = FREQUENCY.copy()
    frequency[1] = 0.0  # the most frequent quarter lies elsewhere
    job = (info, COMPUTE, CORPUS, partition, frequency, "en", [0.25, 1.0])
    rows = trace_frontier(*job, n_heldout=4, n_profile=8, n_draws=2, seed=0)
    assert {row["method"] for row in rows} == {"dense", *frontier_methods()}
    for method in RANDOM_METHODS:
        own = [row for row in rows if row["method"] == method]
        assert [(row["share"], row["draw"]) for row in own] == [(0.25, 0), (0.25, 1), (1.0, 0), (1.0, 1)]
        assert own[0]["nll"] != own[1]["nll"]
        assert own[2]["nll"] == pytest.approx(rows[0]["nll"])  # all experts are the dense model
    empty = {(row["method"], row["empty_layers"]) for row in rows if row["share"] == 0.25}
    assert ("most_frequent", "1") in empty and ("random_same_layers", "1") in empty
    assert ("random", "") in empty and ("most_frequent_per_layer", "") in empty


def test_documents_of_other_languages_are_pooled_in_and_validate_nothing(tiny):
    info, partition = tiny
    others = [make_corpus([8] * 20, n_heldout=2, seed=seed) for seed in (5, 6)]
    choice = Choice("second_order", 0.05, 0.5)
    asked = (info, COMPUTE, [CORPUS], partition, [FREQUENCY], choice, 12)
    (alone, _), (none, _) = plan_pruning(*asked), plan_pruning(*asked, others, 0)
    assert (alone.keep == none.keep).all()
    pooled, fits = plan_pruning(*asked, others, 10)
    assert any(fit.weight > 0 for fit in fits) and pooled.keep.sum(axis=1).tolist() == [12, 12, 12]
    model = load_model(info, COMPUTE)
    corpus = join_corpora([CORPUS, *others])
    first, second = np.arange(10), np.arange(len(CORPUS.heldout), len(CORPUS.heldout) + 7)
    with torch.inference_mode():
        walk, own = LayerWalk(model, corpus, first, pooled_idx=second), LayerWalk(model, corpus, first)
        found, expected = gather_moments(walk), gather_moments(own)
    torch.testing.assert_close(found.validation.gram, expected.validation.gram, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.fit.gram, expected.fit.gram, rtol=1e-4, atol=1e-4)
    assert found.pooled.n_tokens == np.diff(corpus.offsets)[second].sum()
