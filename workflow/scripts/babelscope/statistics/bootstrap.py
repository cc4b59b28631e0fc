"""Bootstrap over blocks: draws, bias-corrected values and intervals of any statistic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap interval; all arrays have the statistic's shape.

    Attributes
    ----------
    value : the statistic of the data as they are.
    corrected : ``value`` with the bias of noise taken away to first order. Noise makes any distance too large
        and any correlation too small.
    low, high : interval at 95 % around ``corrected``.
    """

    value: np.ndarray
    corrected: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def clipped(self, lowest: float | None, highest: float | None) -> Estimate:
        """The same with ``corrected``, ``low`` and ``high`` kept within the statistic's range."""
        parts = (np.clip(part, lowest, highest) for part in (self.corrected, self.low, self.high))
        return Estimate(self.value, *parts)

    def widened(self, half: np.ndarray | float) -> Estimate:
        """The same with half the width of another, independent interval added to both sides, as squares."""
        below, above = np.maximum(self.corrected - self.low, 0), np.maximum(self.high - self.corrected, 0)
        low, high = self.corrected - np.hypot(below, half), self.corrected + np.hypot(above, half)
        return Estimate(self.value, self.corrected, low, high)

    def stretched(self, factor: float) -> Estimate:
        """The same with both sides of the interval this many times as wide."""
        low, high = (self.corrected + factor * (end - self.corrected) for end in (self.low, self.high))
        return Estimate(self.value, self.corrected, low, high)

    def root(self) -> Estimate:
        """Estimate of the square root of a statistic that is not negative."""
        return Estimate(*(np.sqrt(part) for part in (self.value, self.corrected, self.low, self.high)))


def draw_weights(n_blocks: int, n_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Weight of every block in every replicate, float64 (n_replicates, n_blocks).

    One block fewer is drawn than there are: that makes the variance of the replicates an unbiased estimate
    for few blocks too (Rao and Wu 1988, "Resampling inference with complex survey data").
    """
    draws = rng.multinomial(n_blocks - 1, np.full(n_blocks, 1 / n_blocks), size=n_replicates)
    return draws * (n_blocks / (n_blocks - 1))


def spread_of_mean(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Half of the interval of the mean of a few equivalent choices, for instance partitions, float64 (...).

    Student's t: three choices have two degrees of freedom, and their spread is hardly known. It is added as a
    square to the interval over documents (``Estimate.widened``; Howe 1974, "Approximate confidence limits on
    the mean of X + Y").

    Parameters
    ----------
    values : float (n_choices, ...); one choice says nothing of the spread and gives 0.
    """
    n = len(values)
    if n < 2:
        return np.zeros(values.shape[1:])
    from scipy.special import stdtrit  # not where a model runs: see study.job

    return stdtrit(n - 1, 0.5 + level / 2) * values.std(axis=0, ddof=1) / np.sqrt(n)


def estimate(value: np.ndarray, replicates: np.ndarray, level: float = LEVEL) -> Estimate:
    """Bias-corrected value and basic interval (Davison and Hinkley 1997, "Bootstrap methods", section 5.2).

    Parameters
    ----------
    value : float (...). replicates : float (n_replicates, ...).
    level : coverage, in (0, 1).
    """
    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [1 - tail, tail], axis=0)
    return Estimate(value, 2 * value - replicates.mean(axis=0), 2 * value - low, 2 * value - high)


def estimate_count(
    value: np.ndarray, replicates: np.ndarray, noisier: np.ndarray, level: float = LEVEL
) -> Estimate:
    """Estimate of the number of frequencies beyond a threshold.

    Such a count is not smooth in the frequencies, and the basic interval misses it: a frequency that noise
    put over the threshold is over it in most replicates too. The mean over replicates is smooth. It holds the
    noise of the data and of the resampling, twice that of the data, and the noisier replicates hold three
    times; the line through both is followed back to no noise (simulation extrapolation, Cook and Stefanski
    1994). The spread of the replicates about their mean is laid around that point.

    Parameters
    ----------
    value : float (...). replicates : float (n_replicates, ...).
    noisier : float (...), mean over replicates with once more of the noise.
    level : coverage, in (0, 1).
    """
    tail = (1 - level) / 2
    mean = replicates.mean(axis=0)
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    corrected = 3 * mean - 2 * noisier
    return Estimate(value, corrected, corrected + low - mean, corrected + high - mean)
