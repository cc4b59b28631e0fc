"""The definitions of expert activation in float64, one expert and one token after the other.

Written for checks alone: slow, and independent of the fast path in ``scoring``.
"""

from __future__ import annotations

import numpy as np


def reference_z(activations: np.ndarray, labels: np.ndarray, n_experts: int) -> np.ndarray:
    """z-scores of one layer's experts: sums over the neurons of each, standardised over the experts.

    Parameters
    ----------
    activations : float (n_tokens, d_ff), what enters the down projection.
    labels : int (d_ff,), expert of each neuron.

    Returns
    -------
    float64 (n_tokens, n_experts); 0 where all experts of a token have the same score.
    """
    activations = activations.astype(np.float64)
    scores = np.stack([activations[:, labels == expert].sum(axis=1) for expert in range(n_experts)], axis=1)
    deviation = scores - scores.mean(axis=1, keepdims=True)
    deviation[(scores == scores[:, :1]).all(axis=1)] = 0.0
    spread = np.sqrt((deviation**2).mean(axis=1, keepdims=True))
    return np.divide(deviation, spread, out=np.zeros_like(deviation), where=spread > 0)


def reference_active(z: np.ndarray, top_k: int) -> np.ndarray:
    """The ``top_k`` experts with the largest z-scores of each token; ties go to the lower index.

    Parameters
    ----------
    z : float64 (n_tokens, n_cells), all experts of all layers, layer after layer.

    Returns
    -------
    bool of the same shape.
    """
    active = np.zeros(z.shape, dtype=bool)
    for token, row in enumerate(z.tolist()):
        best = sorted(range(len(row)), key=lambda cell: (-row[cell], cell))[:top_k]
        active[token, best] = True
    return active
