"""Partitions that do not look at the neurons, and the means of any partition."""

from __future__ import annotations

import numpy as np


def expert_sizes(n_neurons: int, n_experts: int) -> np.ndarray:
    """Sizes of ``n_experts`` experts of ``n_neurons`` neurons, int64 (n_experts,).

    They differ by at most one, the larger ones come first.
    """
    base, n_larger = divmod(n_neurons, n_experts)
    return base + (np.arange(n_experts) < n_larger).astype(np.int64)


def contiguous_labels(n_neurons: int, n_experts: int) -> np.ndarray:
    """Expert of each neuron where experts are runs of neighbours in the model; int32 (n_neurons,).

    Parameters
    ----------
    n_neurons, n_experts : ``expert_sizes`` of them are the lengths of the runs.
    """
    return np.repeat(np.arange(n_experts, dtype=np.int32), expert_sizes(n_neurons, n_experts))


def random_labels(n_neurons: int, n_experts: int, rng: np.random.Generator) -> np.ndarray:
    """Expert of each neuron, every balanced partition equally likely; int32 (n_neurons,).

    Parameters
    ----------
    n_neurons, n_experts : ``expert_sizes`` of them are the sizes.
    rng : decides which neurons go together.
    """
    return rng.permutation(contiguous_labels(n_neurons, n_experts))


def group_means(points: np.ndarray, labels: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Mean row of each group, float32 (n_groups, n_dims).

    Parameters
    ----------
    points : float32 (n_points, n_dims).
    labels : integer (n_points,), group of each point, 0 to n_groups - 1.
    fallback : float32 (n_groups, n_dims), taken where a group is empty.
    """
    means = fallback.copy()
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(fallback) + 1))
    for group in range(len(fallback)):
        members = order[bounds[group] : bounds[group + 1]]
        if len(members):
            means[group] = points[members].mean(axis=0)
    return means
