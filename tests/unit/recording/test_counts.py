"""Counts make sense: what does not fit together is refused."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.recording.counts import ActivationCounts, count_top_k
from babelscope.study.errors import BabelscopeError


def test_frequency_is_active_tokens_over_tokens_of_all_blocks():
    n_active = np.array([[[3, 1], [2, 0]], [[0, 1], [0, 1]]])
    counts = ActivationCounts(n_active, np.array([3, 1]), top_k=2)
    assert counts.frequency.tolist() == [[3 / 4, 2 / 4], [2 / 4, 1 / 4]]


def test_every_block_holds_top_k_experts_for_each_token():
    n_active = np.array([[[3, 1], [2, 0]], [[0, 1], [0, 1]]])
    with pytest.raises(BabelscopeError, match=r"blocks \[1\] do not hold top_k \(2\)"):
        ActivationCounts(n_active, np.array([3, 2]), top_k=2)
    with pytest.raises(BabelscopeError, match="for 1 blocks"):
        ActivationCounts(n_active, np.array([4]), top_k=2)
    with pytest.raises(BabelscopeError, match="no token"):
        _ = ActivationCounts(np.zeros((1, 1, 2), dtype=np.int64), np.array([0]), top_k=1).frequency


def test_top_k_is_the_papers_800_of_8192():
    assert count_top_k(0.09765625, 32, 256) == 800
    assert count_top_k(0.09765625, 18, 256) == 450
    assert count_top_k(1.0, 2, 8) == 16
    with pytest.raises(BabelscopeError, match=r"top_fraction 0\.001 makes 0 active experts of 16"):
        count_top_k(0.001, 2, 8)
