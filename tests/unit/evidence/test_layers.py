"""Inequality, entropy and sharing of every layer."""

import numpy as np
import pytest
from scipy import stats
from tests.unit.simulated_counts import draw_counts, draw_truth

from babelscope.comparison.measures import compare_layers
from babelscope.comparison.similarity import stack_frequencies
from babelscope.evidence.draws import bootstrap, draw
from babelscope.evidence.layers import (
    gini,
    layer_shares,
    layer_statistics,
    normalised_entropy,
    tabulate_layers,
)


def test_gini_is_the_mean_difference_of_all_pairs():
    values = np.random.default_rng(0).exponential(size=(3, 30))
    brute = [np.abs(np.subtract.outer(v, v)).mean() / (2 * v.mean()) for v in values]
    np.testing.assert_allclose(gini(values), brute)


def test_gini_of_known_distributions():
    grid = (np.arange(10_000) + 0.5) / 10_000
    assert gini(grid) == pytest.approx(1 / 3, abs=1e-4)
    assert gini(-np.log(1 - grid)) == pytest.approx(1 / 2, abs=1e-3)
    np.testing.assert_allclose(gini(np.array([[2.0, 2, 2], [0, 0, 0], [0, 0, 1]])), [0, 0, 2 / 3], atol=1e-12)


def test_entropy_is_that_of_scipy():
    values = np.random.default_rng(1).random((4, 20))
    values[0, :5] = 0
    np.testing.assert_allclose(normalised_entropy(values), stats.entropy(values, axis=1) / np.log(20))
    np.testing.assert_allclose(
        normalised_entropy(np.array([[0.0, 0], [0, 3], [1, 1]])), [1, 0, 1], atol=1e-12
    )


def test_shares_by_hand():
    frequency = np.array([[[0.1, 0.1, 0, 0.05]], [[0.1, 0, 0, 0.05]], [[0.1, 0, 0.01, 0.04]]])
    shares = layer_shares(frequency, 0.05)
    assert (shares["share_all"], shares["share_one"], shares["share_none"]) == (0.25, 0.25, 0.25)


def test_a_constant_row_is_left_out_of_the_mean_correlation():
    frequency = np.array([[[0.1, 0.2, 0.3]], [[0.2, 0.4, 0.6]], [[0.1, 0.1, 0.1]]])
    found = layer_statistics(frequency, compare_layers(frequency, np.full(3, 100)))
    np.testing.assert_allclose(found["pearson"], [1.0])


def test_table_has_every_layer_with_an_interval_around_the_corrected_value():
    rng = np.random.default_rng(2)
    counts = draw_counts(rng, draw_truth(rng, "ab"), n_blocks=12)

    def statistic(frequency, n_tokens):
        return layer_statistics(frequency, compare_layers(frequency, n_tokens))

    found = bootstrap(draw(counts, "ab", 100, 0), statistic, lambda frequency: layer_shares(frequency, 0.05))
    rows = tabulate_layers(found, ["a", "b"])
    assert len(rows) == 3 * (5 + 2 * 3)
    assert all(row.low <= row.corrected + 1e-9 and row.corrected <= row.high + 1e-9 for row in rows)
    frequency, _ = stack_frequencies(counts)
    own = next(row for row in rows if (row.statistic, row.language, row.layer) == ("gini", "b", 2))
    assert own.value == pytest.approx(float(gini(frequency)[1, 2]))
