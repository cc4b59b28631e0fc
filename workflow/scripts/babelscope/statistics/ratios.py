"""Means and ratios with their errors: Student's interval, Cochran's ratio estimator, Welch's freedom."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from babelscope.statistics.bootstrap import LEVEL

# half of a 95 % interval, in standard errors
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half of its 95 % interval (Student's t); infinite for one value."""
    n = len(values)
    if n < 2:
        return float(values.mean()), math.inf
    from scipy.special import stdtrit  # not where a model runs: see study.job

    return float(values.mean()), float(stdtrit(n - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / n**0.5)


@dataclass(frozen=True)
class MixedMean:
    """Mean over groups that have several draws each.

    Attributes
    ----------
    value, half : the mean and half of its 95 % interval, over groups and draws; infinite for one group.
    sd_groups : standard deviation of the groups' own means, what the draws add taken away; 0 at least.
    sd_draws : standard deviation of draws within a group, NaN for one draw.
    """

    value: float
    half: float
    sd_groups: float
    sd_draws: float


def mixed_interval(values: np.ndarray) -> MixedMean:
    """Interval for the mean over groups and draws, where each group has independent draws of its own.

    The mean of a group's draws varies by the groups' own variance and by that of the draws over their number;
    the variance of these means estimates the sum of both, so that Student's interval of the means is that of
    the random-effects model (Searle, Casella and McCulloch 1992, "Variance components", 3.6). Draws that
    groups have in common would add an error that no group shows: they must not be passed.

    Parameters
    ----------
    values : float (n_groups, n_draws).
    """
    n_groups, n_draws = values.shape
    value, half = mean_interval(values.mean(axis=1))
    within = float(values.var(axis=1, ddof=1).mean()) if n_draws > 1 else math.nan
    between = float(values.mean(axis=1).var(ddof=1)) if n_groups > 1 else math.nan
    own = between if n_draws == 1 else max(0.0, between - within / n_draws)
    return MixedMean(value, half, own**0.5, within**0.5)


def wilson(n_successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(n_successes, n, 1 - LEVEL, method="wilson")
    return float(low), float(high)


def ratio_with_error(numerators: np.ndarray, denominators: np.ndarray) -> tuple[float, float]:
    """Ratio of two sums with its standard error, infinite for one unit.

    Linearised ratio estimator (Cochran 1977, "Sampling techniques", 6.3).

    Parameters
    ----------
    numerators, denominators : float (n_units,).
    """
    n, total = len(numerators), denominators.sum()
    ratio = numerators.sum() / total
    if n < 2:
        return float(ratio), math.inf
    residual = numerators - ratio * denominators
    return float(ratio), float(np.sqrt(n / (n - 1) * (residual**2).sum()) / total)


def welch(
    var_a: np.ndarray, var_b: np.ndarray, df_a: np.ndarray, df_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of a difference of two means and Welch's degrees of freedom."""
    both = var_a + var_b
    parts = var_a**2 / df_a + var_b**2 / df_b
    df = np.where(parts > 0, both**2 / np.where(parts > 0, parts, 1.0), df_a + df_b)
    return np.sqrt(both), df
