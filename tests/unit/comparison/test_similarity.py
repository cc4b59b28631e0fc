"""Distances between languages, on numbers small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy, pearsonr

from babelscope.comparison.similarity import (
    compare_languages,
    stack_frequencies,
)
from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError


def euclidean_distance(frequency):
    return compare_languages(frequency, np.ones(len(frequency)))["euclidean"]


def kl_divergence(frequency, n_tokens):
    return compare_languages(frequency, n_tokens)["kl"]


def pearson_correlation(frequency):
    similarity = compare_languages(frequency, np.ones(len(frequency)))
    return similarity["pearson"], similarity.n_missing_layers


def random_frequency(n_languages=4, n_layers=3, n_experts=7):
    return np.random.default_rng(0).random((n_languages, n_layers, n_experts))


def test_euclidean_is_the_frobenius_norm_of_the_difference():
    frequency = np.array([[[0.0, 0.5], [0.25, 0.0]], [[0.3, 0.5], [0.25, 0.4]]])
    np.testing.assert_allclose(euclidean_distance(frequency), [[0, 0.5], [0.5, 0]], atol=1e-12)


def test_kl_adds_half_a_count_to_every_cell_and_sums_over_layers():
    # 4 tokens: counts (4, 0) and (2, 2) in the first layer, alike in the second
    frequency = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]])
    p, q = np.array([4.5, 0.5]) / 5, np.array([2.5, 2.5]) / 5
    forward = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    backward = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert entropy(p, q) == pytest.approx(forward)
    kl = kl_divergence(frequency, np.array([4, 4]))
    np.testing.assert_allclose(kl, [[0, forward], [backward, 0]], atol=1e-12)
    assert forward != pytest.approx(backward)


def test_no_language_diverges_from_itself_by_rounding():
    frequency = random_frequency(9, 5, 64)
    kl = kl_divergence(frequency, np.arange(1, 10) * 1000)
    assert (np.diagonal(kl) == 0).all() and (kl[~np.eye(9, dtype=bool)] > 0).all()


def test_kl_is_finite_where_an_expert_is_never_active():
    frequency = np.zeros((2, 1, 3))
    frequency[0, 0, 0] = frequency[1, 0, 2] = 1.0
    kl = kl_divergence(frequency, np.array([1000, 10]))
    assert np.isfinite(kl).all()
    # 1000 and 10 tokens: half a count weighs more where there are few
    p, q = np.array([1000.5, 0.5, 0.5]), np.array([0.5, 0.5, 10.5])
    assert kl[0, 1] == pytest.approx(entropy(p, q))
    assert kl[1, 0] == pytest.approx(entropy(q, p))


def test_kl_agrees_with_scipy_layer_by_layer():
    frequency, n_tokens = random_frequency(), np.array([50, 100, 200, 400])
    counts = frequency * n_tokens[:, None, None] + 0.5
    expected = [[sum(entropy(a, b) for a, b in zip(p, q, strict=True)) for q in counts] for p in counts]
    np.testing.assert_allclose(kl_divergence(frequency, n_tokens), expected, atol=1e-12)


def test_pearson_is_the_mean_of_the_layers_correlations():
    frequency = random_frequency()
    expected = [
        [np.mean([pearsonr(a, b).statistic for a, b in zip(p, q, strict=True)]) for q in frequency]
        for p in frequency
    ]
    pearson, n_missing = pearson_correlation(frequency)
    np.testing.assert_allclose(pearson, expected, atol=1e-12)
    assert not n_missing.any()


def test_pearson_leaves_out_constant_rows_and_counts_them():
    first = [[0.1, 0.2, 0.3], [0.4, 0.4, 0.4]]
    second = [[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]]
    third = [[0.7, 0.7, 0.7], [0.1, 0.1, 0.1]]
    pearson, n_missing = pearson_correlation(np.array([first, second, third]))
    assert n_missing.tolist() == [[1, 1, 2], [1, 0, 2], [2, 2, 2]]
    assert n_missing.dtype == np.int32
    # the second layer is missing for (first, second): -1 alone; no layer is left beside the third
    np.testing.assert_allclose(pearson, [[1, -1, 0], [-1, 1, 0], [0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7, 1e-9])
def test_a_constant_row_is_seen_whatever_its_value(value):
    frequency = np.full((2, 1, 256), value)
    frequency[1, 0, 0] = 0.5
    pearson, n_missing = pearson_correlation(frequency)
    assert n_missing.tolist() == [[1, 1], [1, 0]]
    assert pearson[0, 1] == 0


def test_a_language_is_nearest_to_itself():
    frequency = random_frequency()
    similarity = compare_languages(frequency, np.full(4, 100))
    for distance in (similarity["euclidean"], similarity["kl"]):
        assert (distance >= 0).all()
        np.testing.assert_allclose(np.diag(distance), 0, atol=1e-12)
        assert (distance[~np.eye(4, dtype=bool)] > 0.01).all()
    np.testing.assert_allclose(np.diag(similarity["pearson"]), 1)
    assert np.abs(similarity["pearson"]).max() <= 1
    np.testing.assert_allclose(similarity["euclidean"], similarity["euclidean"].T)


def test_the_order_of_experts_within_a_layer_does_not_matter():
    frequency, n_tokens = random_frequency(), np.array([50, 100, 200, 400])
    order = np.random.default_rng(1).permutation(frequency.shape[2])
    one, other = compare_languages(frequency, n_tokens), compare_languages(frequency[:, :, order], n_tokens)
    for name in ("euclidean", "kl", "pearson"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-12)


def test_languages_recorded_in_different_ways_cannot_be_compared():
    one = ActivationCounts(np.array([[[2, 2]]]), np.array([4]), top_k=1)
    other = ActivationCounts(np.array([[[4, 4]]]), np.array([4]), top_k=2)
    frequency, n_tokens = stack_frequencies([one, one])
    assert frequency.tolist() == [[[0.5, 0.5]]] * 2
    assert n_tokens.tolist() == [4, 4]
    with pytest.raises(BabelscopeError, match="recorded in different ways"):
        stack_frequencies([one, other])
