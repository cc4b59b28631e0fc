"""Sharing: how many languages use an expert often."""

from __future__ import annotations

import numpy as np

from babelscope.comparison.sharing import count_sharing


def test_experts_are_counted_by_the_languages_that_reach_the_threshold():
    # three languages, one layer, four experts: high in all, in two, in one, in none
    frequency = np.array([[[0.9, 0.05, 0.3, 0.0]], [[0.5, 0.06, 0.04, 0.04]], [[0.05, 0.0499, 0.0, 0.01]]])
    sharing = count_sharing(frequency, 0.05)
    assert sharing.n_languages_high.tolist() == [[3, 2, 1, 0]]
    assert sharing.n_experts_by_languages.tolist() == [1, 1, 1, 1]
    assert sharing.high[:, 0].tolist() == [
        [True, True, True, False],
        [True, True, False, False],
        [True, False, False, False],
    ]
    assert sharing.n_languages_high.dtype == np.int32


def test_a_frequency_equal_to_the_threshold_is_high():
    assert count_sharing(np.array([[[0.05]]]), 0.05).n_languages_high.tolist() == [[1]]
    assert count_sharing(np.array([[[np.nextafter(0.05, 0)]]]), 0.05).n_languages_high.tolist() == [[0]]


def test_every_expert_is_counted_once_and_zero_to_all_languages_have_a_place():
    frequency = np.random.default_rng(0).random((5, 4, 16))
    for threshold in (0.01, 0.5, 0.99):
        sharing = count_sharing(frequency, threshold)
        assert len(sharing.n_experts_by_languages) == 6
        assert sharing.n_experts_by_languages.sum() == 4 * 16
        weighted = sharing.n_experts_by_languages @ np.arange(6)
        assert weighted == sharing.high.sum() == sharing.n_languages_high.sum()
