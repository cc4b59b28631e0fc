"""k-means without the balance: the cost of equal sizes, seen from a balanced partition.

k-means from random rows is no such measure: on the nearly isotropic rows of language models it stops at once,
far above a refined balanced partition. Single moves that start from that partition can only end below it.

References
----------
Hartigan, Wong (1979), Algorithm AS 136: A K-Means Clustering Algorithm, Applied Statistics 28, 100-108.
"""

from __future__ import annotations

import numpy as np

from babelscope.experts.clustering.backend import Array, Backend
from babelscope.experts.clustering.partition_state import RELATIVE_TOLERANCE

# The first rounds gain most; a round costs one product of all rows with the means that changed.
_ROUNDS = (12, 60)
_NEURON_ROUNDS = 60 * 2048


def free_sizes(
    points: np.ndarray, there: Array, labels: np.ndarray, n_experts: int, backend: Backend
) -> np.ndarray:
    """Move single neurons to other experts, whatever the sizes become, while that lowers the SSE.

    Each round takes the moves that gain most and share no expert, so that their gains add up. Rounds are
    limited: the result need not be a local optimum.

    Parameters
    ----------
    points : float32 (n_neurons, n_dims), mean zero. there : the same on the device of ``backend``.
    labels : integer (n_neurons,), where to start, in 0 to n_experts - 1.
    backend : where products are computed.

    Returns
    -------
    int64 (n_neurons,); no expert becomes empty.
    """
    labels = labels.astype(np.int64)
    square_norms = np.einsum("ij,ij->i", points, points)
    tolerance = RELATIVE_TOLERANCE * float(square_norms.mean(dtype=np.float64))
    sums, sizes = _sums(points, labels, n_experts)
    means = np.zeros(sums.shape, dtype=np.float32)
    products = np.empty((n_experts, len(points)), dtype=np.float32)
    changed = np.arange(n_experts)
    for _ in range(int(np.clip(_NEURON_ROUNDS // len(points), *_ROUNDS))):
        means[changed] = sums[changed] / np.maximum(sizes[changed], 1)[:, None]
        products[changed] = backend.to_numpy(backend.matmul_nt(there, backend.asarray(means[changed]))).T
        distance = np.einsum("ij,ij->i", means, means) - 2 * products.T
        distance += square_norms[:, None]
        np.maximum(distance, 0, out=distance)
        gain, target = _best_moves(distance, labels)
        moved = _choose(gain, labels, target, n_experts, tolerance)
        if len(moved) == 0:
            break
        source, sink = labels[moved], target[moved]
        labels[moved] = sink
        # no expert occurs twice
        sums[source] -= points[moved]
        sums[sink] += points[moved]
        sizes[source] -= 1
        sizes[sink] += 1
        changed = np.concatenate([source, sink])
    return labels


def _sums(points: np.ndarray, labels: np.ndarray, n_experts: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the rows of each expert, float64 (n_experts, n_dims), and its size, int64 (n_experts,)."""
    sizes = np.bincount(labels, minlength=n_experts)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    return np.stack([points[idx].sum(axis=0, dtype=np.float64) for idx in members]), sizes


def _best_moves(distance: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each neuron how much its best move lowers the SSE, and where it goes."""
    neurons = np.arange(len(labels))
    sizes = np.bincount(labels, minlength=distance.shape[1]).astype(np.float32)
    own = sizes[labels]
    # A neuron alone in its expert lies on the mean: leaving gains nothing.
    leaving = distance[neurons, labels] * np.where(own > 1, own / np.maximum(own - 1, 1), 0)
    joining = distance * (sizes / (sizes + 1))
    joining[neurons, labels] = np.inf
    target = joining.argmin(axis=1)
    return leaving - joining[neurons, target], target


def _choose(
    gain: np.ndarray, labels: np.ndarray, target: np.ndarray, n_experts: int, tolerance: float
) -> np.ndarray:
    """Choose moves greedily by gain, each expert once; int64 (n_moves,) neurons."""
    order = np.argsort(-gain, kind="stable")[: int((gain > tolerance).sum())]
    taken = [False] * n_experts
    chosen = []
    moves = np.stack([order, labels[order], target[order]], axis=1)
    for neuron, source, sink in moves.tolist():
        if not (taken[source] or taken[sink]):
            taken[source] = taken[sink] = True
            chosen.append(neuron)
    return np.array(chosen, dtype=np.int64)
