"""The distance between two samples of one language: the floor under every distance between languages.

Two halves of one language hold half the tokens each, so their distance carries more noise than the distance
between two whole languages. Two answers are given. *Like with like*: a half of one language against a half of
another, to be compared with half against half of one language. *Extrapolated*: noise variance falls with the
number of tokens, so that two whole samples of one language would be ``1 / sqrt(2)`` of the halves' Euclidean
distance apart; KL and 1 - Pearson grow with the variance, and halve. The learning curve shows whether noise
does fall that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.evidence.draws import block_rng, check_blocks
from babelscope.recording.counts import ActivationCounts

# Noise a tenth of the distance to the nearest language adds half a percent to that distance.
RELATIVE_FLOOR = 0.1


@dataclass(frozen=True)
class NoiseFloor:
    """Means over random splits into halves.

    Attributes
    ----------
    halves : by measure float64 (n_languages, n_languages), a half of one language against a half of the
        other; on the diagonal the two halves of one language, which share no document. Distances:
        ``as_distances``.
    full : by measure float64 (n_languages,), distance expected between two whole samples of one language.
    reliability : float64 (n_languages,), correlation between the two halves, mean over layers.
    reliability_full : the same for whole samples (Spearman and Brown's formula).
    tokens_per_half : float64 (n_languages,).
    """

    halves: dict[str, np.ndarray]
    full: dict[str, np.ndarray]
    reliability: np.ndarray
    reliability_full: np.ndarray
    tokens_per_half: np.ndarray


def split_halves(
    counts: Sequence[ActivationCounts],
    codes: Sequence[str],
    n_splits: int,
    seed: int,
    blocks_per_half: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Two random sets of blocks of every language, with no block in both.

    Parameters
    ----------
    blocks_per_half : blocks of one set; by default half of the language's blocks (an odd one is left out).

    Returns
    -------
    frequency : float64 (2, n_splits, n_languages, n_layers, n_experts).
    n_tokens : float64 (2, n_splits, n_languages).
    """
    check_blocks(counts, codes, 2 * (blocks_per_half or 1))
    shape = counts[0].n_active.shape[1:]
    frequency = np.empty((2, n_splits, len(counts), *shape))
    n_tokens = np.empty((2, n_splits, len(counts)))
    for idx, (count, code) in enumerate(zip(counts, codes, strict=True)):
        filled = np.flatnonzero(count.n_tokens)
        size = blocks_per_half or len(filled) // 2
        rng = block_rng(seed, code, f"halves {size}", count.paired)
        order = rng.permuted(np.tile(filled, (n_splits, 1)), axis=1)
        for half in (0, 1):
            member = np.zeros((n_splits, len(count.n_tokens)))
            np.put_along_axis(member, order[:, half * size : (half + 1) * size], 1.0, axis=1)
            n_tokens[half, :, idx] = member @ count.n_tokens
            n_active = member @ count.n_active.reshape(len(count.n_tokens), -1)
            frequency[half, :, idx] = (n_active / n_tokens[half, :, idx, None]).reshape(-1, *shape)
    return frequency, n_tokens


def measure_noise_floor(
    counts: Sequence[ActivationCounts], codes: Sequence[str], n_splits: int, seed: int
) -> NoiseFloor:
    """Distances between halves of all languages, each with each.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """
    frequency, n_tokens = split_halves(counts, codes, n_splits, seed)
    totals = total_measures(compare_layers(frequency[0], n_tokens[0], frequency[1], n_tokens[1]))
    means = {name: array.mean(axis=0) for name, array in totals.items()}
    halves = {name: (array + array.T) / 2 for name, array in as_distances(means).items()}
    full = {name: np.diag(halves[name]) * MEASURES[name].half_to_full for name in MEASURES}
    reliability = np.diag(means["pearson"])
    brown = 2 * reliability / (1 + reliability)
    full["pearson"] = 1 - brown
    return NoiseFloor(halves, full, reliability, brown, n_tokens.mean(axis=(0, 1)))


@dataclass(frozen=True)
class LearningCurve:
    """Distance between two sets of blocks of one language, by the size of the sets.

    Attributes
    ----------
    n_blocks : int64 (n_sizes,), blocks of one set.
    n_tokens : float64 (n_sizes, n_languages), mean tokens of one set.
    euclidean : float64 (n_sizes, n_languages).
    exponent : float64 (n_languages,), slope of log distance over log tokens; -0.5 where blocks are
        independent, NaN where there is one size alone.
    """

    n_blocks: np.ndarray
    n_tokens: np.ndarray
    euclidean: np.ndarray
    exponent: np.ndarray


def learning_curve(
    counts: Sequence[ActivationCounts], codes: Sequence[str], n_splits: int, seed: int
) -> LearningCurve:
    """Split-half distances for sets of 1, 2, 4, ... blocks up to half of the smallest language's.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """
    check_blocks(counts, codes)
    most = min(int((count.n_tokens > 0).sum()) for count in counts) // 2
    sizes = np.unique([*(2 ** np.arange(int(np.log2(most)) + 1)), most])
    n_tokens, euclidean = [], []
    for size in sizes:
        frequency, tokens = split_halves(counts, codes, n_splits, seed, int(size))
        difference = frequency[0] - frequency[1]
        euclidean.append(np.sqrt(np.einsum("sale,sale->sa", difference, difference)).mean(axis=0))
        n_tokens.append(tokens.mean(axis=(0, 1)))
    x, y = np.log(n_tokens), np.log(euclidean)
    centred = x - x.mean(axis=0)
    spread = (centred**2).sum(axis=0)
    exponent = np.where(spread > 0, (centred * y).sum(axis=0) / np.where(spread > 0, spread, 1.0), np.nan)
    return LearningCurve(sizes, np.stack(n_tokens), np.stack(euclidean), exponent)


def tokens_needed(
    floor: NoiseFloor, distance: np.ndarray, relative_floor: float = RELATIVE_FLOOR
) -> np.ndarray:
    """Tokens of each language at which its floor is small compared with the distance to its nearest language.

    The floor of a sample of n tokens is the one measured times ``sqrt(n_measured / n)``.

    Parameters
    ----------
    distance : float64 (n_languages, n_languages), Euclidean, corrected for noise; the diagonal is not read.
    relative_floor : floor wanted, as a share of the distance to the nearest language.

    Returns
    -------
    float64 (n_languages,), infinite where the nearest language is no farther away than noise.
    """
    others = np.where(np.eye(len(distance), dtype=bool), np.inf, distance)
    nearest = np.maximum(others.min(axis=1), 0.0)
    measured = 2 * floor.tokens_per_half
    with np.errstate(divide="ignore"):
        return measured * (floor.full["euclidean"] / (relative_floor * nearest)) ** 2
