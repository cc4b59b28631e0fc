"""The interval over languages and draws: its coverage by simulation, and what shared draws do to it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from babelscope.statistics.ratios import mixed_interval

N_STUDIES = 4000


def simulate(rng, n_languages, n_draws, sd_languages, sd_draws, *, shared=False, skewed=False):
    """Gains over random draws in one study, float (n_languages, n_draws), with mean 1."""
    languages = sd_languages * rng.standard_normal((n_languages, 1))
    draws = rng.standard_normal((1 if shared else n_languages, n_draws))
    if skewed:  # a few draws lose much more: lognormal of mean 0 and variance 1
        draws = (np.exp(0.5 * draws) - math.exp(0.125)) / math.sqrt((math.exp(0.25) - 1) * math.exp(0.25))
    return 1.0 + languages + sd_draws * draws


def coverage(**settings):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(N_STUDIES):
        mean = mixed_interval(simulate(rng, **settings))
        hits += abs(mean.value - 1.0) <= mean.half
    return hits / N_STUDIES


@pytest.mark.parametrize("n_draws", [1, 3, 5])
@pytest.mark.parametrize(("sd_languages", "sd_draws"), [(1.0, 0.0), (1.0, 1.0), (0.3, 2.0)])
def test_the_interval_covers_at_the_stated_level(n_draws, sd_languages, sd_draws):
    found = coverage(n_languages=9, n_draws=n_draws, sd_languages=sd_languages, sd_draws=sd_draws)
    assert found == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("n_draws", [3, 5])
def test_skewed_draws_cost_little_coverage(n_draws):
    found = coverage(n_languages=9, n_draws=n_draws, sd_languages=0.5, sd_draws=2.0, skewed=True)
    assert 0.92 < found < 0.965


def test_one_draw_for_all_languages_is_far_from_the_stated_level():
    settings = {"n_languages": 9, "n_draws": 3, "sd_languages": 0.3, "sd_draws": 2.0}
    assert coverage(**settings, shared=True) < 0.5


def test_the_parts_of_the_spread_are_found():
    rng = np.random.default_rng(1)
    mean = mixed_interval(simulate(rng, 4000, 3, 0.5, 2.0))
    assert mean.sd_groups == pytest.approx(0.5, abs=0.1)
    assert mean.sd_draws == pytest.approx(2.0, abs=0.05)
    assert math.isnan(mixed_interval(np.array([[1.0], [2.0]])).sd_draws)
    assert mixed_interval(np.array([[1.0, 2.0]])).half == math.inf
