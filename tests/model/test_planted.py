"""Planted truth: what was written into a model is found, from clustering to ablation and the matrix."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tests.planted import LANGUAGES, N_EXPERTS, N_LAYERS, PLANTED, flip_signs, plant, write_text

from babelscope.evidence.specificity import index_experts
from babelscope.experts.estimator import BalancedKMeans
from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.ablate import evaluate_ablations
from babelscope.pruning.ablation import choose_ablations, specific_neurons
from babelscope.pruning.ablation_table import tabulate_ablations
from babelscope.pruning.matrix import evaluate_under_experts
from babelscope.pruning.selectors import read_output_norms
from babelscope.pruning.tables import matrix_rows
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.study.languages import read_languages

COMPUTE = Compute(device="cpu")
TOP_K = 8  # of 128 experts: four of the language and four of the topic


def record(model, partition):
    """Counts and neurons of every language."""
    settings = RecordingSettings(documents_per_block=10, documents_per_segment=100)
    variants = [Variant("main", partition, TOP_K)]
    variants += [Variant(score, partition, TOP_K, score) for score in ("absolute", "output_norm")]
    found = {}
    for number, code in enumerate(LANGUAGES):
        corpus = write_text(number)
        found[code] = record_activations(model, corpus, corpus.profile_idx, variants, settings, neurons=True)
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    planted = plant(tmp_path_factory.mktemp("planted"))
    info = describe_model("planted", planted.folder, n_layers=N_LAYERS, origin="test")
    model = load_model(info, COMPUTE)
    rows = [layer.up.weight.numpy() for layer in model.layers]
    labels = np.stack([BalancedKMeans(N_EXPERTS, seed=0).fit(x).labels_ for x in rows])
    partition = ExpertPartition(labels.astype(np.int32), N_EXPERTS)
    recordings = record(model, partition)
    counts = [recordings[code].counts["main"] for code in LANGUAGES]
    languages = [read_languages()[code] for code in LANGUAGES]
    index = index_experts(counts, languages, 0.05)
    experts = {}
    for code in LANGUAGES:
        own = np.array([k == "specific" and g == code for k, g in zip(index.kind, index.group, strict=True)])
        experts[code] = own.reshape(N_LAYERS, N_EXPERTS)
    statistics = {code: recordings[code].neurons.finished() for code in LANGUAGES}
    frequencies = {code: count.frequency for code, count in zip(LANGUAGES, counts, strict=True)}
    return SimpleNamespace(**locals())


def in_experts(study, neurons):
    """Number of the neurons in each expert, int (n_layers, n_experts)."""
    rows = zip(study.labels, neurons, strict=True)
    return np.stack([np.bincount(labels[mask], minlength=N_EXPERTS) for labels, mask in rows])


def test_clustering_puts_planted_neurons_into_experts_of_their_own(study):
    for neurons in (*study.planted.of_language, *study.planted.of_topic):
        assert (in_experts(study, neurons).max(axis=1) == PLANTED).all()


def test_the_index_finds_the_planted_experts_and_no_others(study):
    for code, neurons in zip(LANGUAGES, study.planted.of_language, strict=True):
        np.testing.assert_array_equal(study.experts[code], in_experts(study, neurons) == PLANTED)


def test_a_topic_that_all_languages_share_is_no_language(study):
    for neurons in study.planted.of_topic:
        topic = in_experts(study, neurons) == PLANTED
        for frequency in study.frequencies.values():
            assert (frequency[topic] > 0.3).all()  # high-frequency: it is seen, and not called specific
        assert not any((own & topic).any() for own in study.experts.values())
    neurons = specific_neurons(study.statistics)
    assert not any((own & study.planted.of_topic.any(axis=0)).any() for own in neurons.values())


def test_lape_finds_planted_neurons_of_each_language(study):
    for code, planted in zip(LANGUAGES, study.planted.of_language, strict=True):
        found = specific_neurons(study.statistics)[code]
        others = study.planted.of_language.any(axis=0) & ~planted
        assert found.any() and not (found & others).any()
        assert (found & planted).sum() >= 0.9 * found.sum()


def test_ablation_hurts_the_own_language_beyond_the_matched_control(study):
    norms = read_output_norms(study.info)
    units = choose_ablations(
        study.experts, study.frequencies, study.statistics, norms, study.partition, n_controls=1
    )
    results = {
        code: evaluate_ablations(study.info, COMPUTE, write_text(number), units, n_heldout=20)
        for number, code in enumerate(LANGUAGES)
    }
    rows = [row for row in tabulate_ablations(results, seed=0) if row["kind"] == "experts"]
    assert [row["language"] for row in rows] == [*LANGUAGES, "all"]
    for row in rows[:-1]:
        assert row["n_units"] == N_LAYERS
        assert row["low"] > 0.01 and abs(row["others"]) < 0.2 * row["own"]
        assert row["beyond_control_low"] > 0


def test_in_the_matrix_every_language_is_best_under_its_own_experts(study):
    kept = {
        code: ~np.any([own for c, own in study.experts.items() if c != code], axis=0) for code in LANGUAGES
    }
    for number, code in enumerate(LANGUAGES):
        cells = evaluate_under_experts(
            study.info, COMPUTE, write_text(number), study.partition, {"same_size": kept}, {}, 20
        )
        rows = [row for row in matrix_rows(code, cells, 0) if row["selection"] == "same_size"]
        others = [row for row in rows if row["experts_of"] != code]
        assert len(others) == 2 and all(row["low_simultaneous"] > 0 for row in others)


def test_flipped_signs_change_neither_the_model_nor_what_lape_and_norms_find(study):
    module = transformers.AutoModelForCausalLM.from_pretrained(study.planted.folder).eval()
    module.requires_grad_(False)
    ids = torch.from_numpy(write_text(0).token_ids[None, :24].astype(np.int64))
    before = module(input_ids=ids).logits
    flip_signs(module, np.random.default_rng(0).random(study.planted.of_language[0].shape) < 0.5)
    torch.testing.assert_close(module(input_ids=ids).logits, before)
    flipped = record(StudyModel(module), study.partition)
    statistics = {code: found.neurons.finished() for code, found in flipped.items()}
    for code in LANGUAGES:
        np.testing.assert_array_equal(statistics[code].n_positive, study.statistics[code].n_positive)
        np.testing.assert_allclose(
            statistics[code].sum_of_squares, study.statistics[code].sum_of_squares, rtol=1e-4, atol=1e-6
        )
        np.testing.assert_array_equal(
            specific_neurons(statistics)[code], specific_neurons(study.statistics)[code]
        )
        for score in ("absolute", "output_norm"):
            frequency = flipped[code].counts[score].frequency
            np.testing.assert_allclose(frequency, study.recordings[code].counts[score].frequency, atol=0.005)
    # the signed sum is no property of the function: here the same model has other frequencies
    frequency = np.stack([flipped[code].counts["main"].frequency for code in LANGUAGES])
    assert np.abs(frequency - np.stack(list(study.frequencies.values()))).max() > 0.3
