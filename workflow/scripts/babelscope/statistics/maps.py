"""Maps of distances in the plane: classical scaling, and the fit of two maps with its permutation test."""

from __future__ import annotations

import numpy as np

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

    Returns
    -------
    fit : in [0, 1], one less the disparity of ``scipy.spatial.procrustes``. p_value : in (0, 1].
    """
    a, b = (points - points.mean(axis=0) for points in (first, second))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    orders = np.vstack([np.arange(len(b)), rng.permuted(np.tile(np.arange(len(b)), (N_RANDOM, 1)), axis=1)])
    products = np.einsum("ni,rnj->rij", a, b[orders])
    fits = np.linalg.svd(products, compute_uv=False).sum(axis=1) ** 2
    return float(fits[0]), float((fits >= fits[0] - 1e-12).mean())
