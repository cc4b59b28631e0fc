"""Maps of distances in the plane: classical scaling, and the fit of two maps with its permutation test."""

from __future__ import annotations

import numpy as np
from scipy.stats import permutation_test

from babelscope.statistics.permutation import N_RANDOM

N_AXES = 2  # the maps that are compared are those that are drawn


def scale_to_map(distance: np.ndarray, n_axes: int = N_AXES) -> np.ndarray:
    """Coordinates whose distances come closest to those given: classical scaling (Torgerson 1952).

    Returns
    -------
    float64 (n, n_axes), centred, axes in the order of their length.
    """
    n = len(distance)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ np.square(distance) @ centring)
    largest = np.argsort(-values)[:n_axes]
    coordinates = vectors[:, largest] * np.sqrt(np.maximum(values[largest], 0.0))
    # an axis has no direction of its own; its longest coordinate is made positive
    signs = np.sign(coordinates[np.abs(coordinates).argmax(axis=0), np.arange(len(largest))])
    return coordinates * np.where(signs == 0, 1.0, signs)


def compare_maps(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Procrustes fit of two maps and its permutation p value.

    Parameters
    ----------
    first, second : float64 (n, n_axes), the same objects in the same order.
    rng : draws permutations of the objects where there are more than ``N_RANDOM``; otherwise all are seen.

    Returns
    -------
    fit : in [0, 1], one less the disparity of ``scipy.spatial.procrustes``.
    p_value : share of permutations, the data's own among them, that fit as well or better; in (0, 1].
    """
    a, b = (points - points.mean(axis=0) for points in (first, second))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)

    def fit(order: np.ndarray, axis: int = -1) -> np.ndarray:
        products = np.einsum("ni,...nj->...ij", a, b[order])
        return np.linalg.svd(products, compute_uv=False).sum(axis=axis) ** 2

    test = permutation_test(
        (np.arange(len(b)),),
        fit,
        permutation_type="pairings",
        alternative="greater",
        vectorized=True,
        n_resamples=N_RANDOM,
        rng=rng,
    )
    return float(test.statistic), float(test.pvalue)
