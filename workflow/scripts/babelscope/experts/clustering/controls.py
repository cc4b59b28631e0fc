"""Partitions that do not look at the neurons, and the means of any partition."""

from __future__ import annotations

import numpy as np


def expert_sizes(n_neurons: int, n_experts: int) -> np.ndarray:
    """Return int64 (n_experts,) sizes that differ by at most one, the larger ones first."""
    base, n_larger = divmod(n_neurons, n_experts)
    return base + (np.arange(n_experts) < n_larger).astype(np.int64)


def contiguous_labels(n_neurons: int, n_experts: int) -> np.ndarray:
    """Cut the neurons into runs in the order in which the model stores them; int32 (n_neurons,)."""
    return np.repeat(np.arange(n_experts, dtype=np.int32), expert_sizes(n_neurons, n_experts))


def random_labels(n_neurons: int, n_experts: int, rng: np.random.Generator) -> np.ndarray:
    """Deal the neurons out at random, every balanced partition equally likely; int32 (n_neurons,)."""
    return rng.permutation(contiguous_labels(n_neurons, n_experts))


def group_means(points: np.ndarray, labels: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Return the float32 mean of each group, or its row of ``fallback`` where the group is empty."""
    means = fallback.copy()
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(len(fallback) + 1))
    for group in range(len(fallback)):
        members = order[bounds[group] : bounds[group + 1]]
        if len(members):
            means[group] = points[members].mean(axis=0)
    return means
