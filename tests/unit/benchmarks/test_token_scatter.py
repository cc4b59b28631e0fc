"""How much tokens differ by themselves: what is planted is found, however often tokens are seen."""

import numpy as np
import pytest
from benchmarks.token_scatter import scatter

from babelscope.recording.counts import ActivationCounts

N_EXPERTS, TOP_K = 400, 20


def language(rng, mean, of_token, n):
    weights = np.clip(mean + rng.normal(0, of_token, (60, N_EXPERTS)), 0.0, None)
    shares = weights / weights.sum(axis=1, keepdims=True)
    n_active = rng.multinomial(TOP_K * n, shares).reshape(60, 1, N_EXPERTS)
    return ActivationCounts(n_active, np.full(60, n), TOP_K)


@pytest.mark.parametrize("n", [500, 5000])
def test_a_planted_ratio_is_found_whatever_the_noise(n):
    rng = np.random.default_rng(0)
    means = 1 + rng.normal(0, 0.1, (8, N_EXPERTS))
    # means of 60 tokens differ by a 60th of the tokens' variance more than languages do
    expected = 0.3 / np.sqrt(0.1**2 + 0.3**2 / 60)
    assert scatter([language(rng, mean, 0.3, n) for mean in means]) == pytest.approx(expected, rel=0.05)


def test_a_class_that_a_language_lacks_or_that_is_seen_too_seldom_has_no_ratio():
    rng = np.random.default_rng(0)
    one = language(rng, np.ones(N_EXPERTS), 0.1, 500)
    lacking = ActivationCounts(one.n_active[:0], one.n_tokens[:0], TOP_K)
    assert scatter([one, lacking]) is None
    seldom = language(rng, np.ones(N_EXPERTS), 0.1, 10)
    assert scatter([seldom, seldom]) is None
