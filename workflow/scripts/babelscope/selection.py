"""Which experts to keep: the paper's threshold, budgets, and controls of the same size."""

from __future__ import annotations

import numpy as np


def keep_frequent(frequency: np.ndarray, threshold: float) -> np.ndarray:
    """Experts with ``frequency >= threshold`` (paper: 0.05), bool (n_layers, n_experts)."""
    return frequency >= threshold


def keep_random(n_kept: np.ndarray, n_experts: int, rng: np.random.Generator) -> np.ndarray:
    """Random experts, ``n_kept[l]`` of them in layer l: the control with as many experts a layer.

    Parameters
    ----------
    n_kept : int (n_layers,).
    n_experts : experts of a layer.
    rng : decides which.

    Returns
    -------
    bool (n_layers, n_experts).
    """
    order = np.stack([rng.permutation(n_experts) for _ in n_kept])
    return order < np.asarray(n_kept)[:, None]
