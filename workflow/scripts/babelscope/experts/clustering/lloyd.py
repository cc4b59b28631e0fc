"""Balanced k-means of Malinen and Fränti: Lloyd steps with an exact balanced assignment.

References
----------
Malinen, Fränti (2014), Balanced K-Means for Clustering, S+SSPR 2014, LNCS 8621, 32-41.
"""

from __future__ import annotations

import numpy as np

from babelscope.experts.clustering.assignment import assign_balanced
from babelscope.experts.clustering.backend import Backend
from babelscope.experts.clustering.controls import group_means


def balanced_lloyd(
    points: np.ndarray, n_experts: int, rng: np.random.Generator, backend: Backend, max_steps: int
) -> tuple[np.ndarray, int]:
    """Alternate between exact balanced assignment and means, from random rows, until nothing changes.

    Parameters
    ----------
    points : float32 (n_neurons, n_dims).
    n_experts : from 1 to n_neurons.
    rng : draws the rows to start from.
    backend : where products and prices are computed.
    max_steps : most assignments to make.

    Returns
    -------
    labels : int64 (n_neurons,), sizes differ by at most one.
    n_steps : assignments made.
    """
    centroids = points[rng.choice(len(points), n_experts, replace=False)]
    on_device = backend.asarray(points)
    labels: np.ndarray | None = None
    prices: np.ndarray | None = None
    n_steps = 0
    while n_steps < max_steps:
        # The squared norm of a row is the same for every expert and drops out of the assignment.
        norms = np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64)
        products = backend.to_numpy(backend.matmul_nt(on_device, backend.asarray(centroids)))
        cost = norms - 2.0 * products.astype(np.float64)
        previous = labels
        labels, prices = assign_balanced(cost, prices, backend)
        n_steps += 1
        if previous is not None and np.array_equal(labels, previous):
            break
        centroids = group_means(points, labels, centroids)
    assert labels is not None
    return labels, n_steps
