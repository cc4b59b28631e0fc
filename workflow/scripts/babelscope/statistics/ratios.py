"""Means and ratios with their errors: Student's interval, Cochran's ratio estimator, Welch's freedom."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from babelscope.statistics.bootstrap import LEVEL

# half of a 95 % interval, in standard errors
Z = float(norm.ppf(0.5 + LEVEL / 2))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half of its 95 % interval (Student's t); infinite for one value."""
    n = len(values)
    if n < 2:
        return float(values.mean()), math.inf
    return float(values.mean()), float(student_t.ppf(0.5 + LEVEL / 2, n - 1) * values.std(ddof=1) / n**0.5)


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
