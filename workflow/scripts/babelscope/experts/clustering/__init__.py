"""Experts: groups of similar neurons, of equal size, with the least sum of squared errors (SSE).

``cluster_neurons`` is what the workflow calls. Balanced k-means here means balanced Lloyd steps with an exact
assignment, then refinement by exchanges to an optimum under all pair swaps and single moves.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from babelscope.experts.clustering.backend import Backend, open_backend
from babelscope.experts.clustering.controls import contiguous_labels, random_labels
from babelscope.experts.clustering.exchange import refine
from babelscope.experts.clustering.free_sizes import free_sizes
from babelscope.experts.clustering.lloyd import balanced_lloyd
from babelscope.experts.clustering.partition_state import make_problem
from babelscope.experts.clustering.result import METHODS, ClusteringResult, ReferenceSse
from babelscope.experts.clustering.rows import check_labels, check_rows, partition_sse, prepare_rows
from babelscope.study.errors import BabelscopeError

__all__ = [
    "METHODS",
    "ClusteringResult",
    "ReferenceSse",
    "cluster_neurons",
    "partition_sse",
    "reference_sse",
]

_MAX_LLOYD_STEPS = 100
# More rounds find better partitions, and more than as much time spent on more starts does. These keep a layer
# of 2048 rows at two to three seconds and one of 11008 at a fraction of one start of k-means-constrained.
_ANNEALING_ROUNDS = (45, 250)
_NEURON_ROUNDS = 200 * 2048


def cluster_neurons(
    rows: np.ndarray,
    n_experts: int,
    method: str = "balanced_kmeans",
    seed: int = 0,
    n_starts: int = 1,
    normalize_rows: bool = False,
    device: str = "cpu",
    n_threads: int | None = None,
    progress: Any = None,
) -> ClusteringResult:
    """Partition neurons into experts whose sizes differ by at most one.

    The result is the same for the same rows and seed on one device, whatever the number of threads, and it
    follows the neurons: permuting the rows permutes the labels. (``contiguous`` is about the order and does
    not; of equal rows any may take the place of the other.) Experts are numbered by their smallest row.

    Parameters
    ----------
    rows : (n_neurons, n_dims) real and finite, one row a neuron; computed with in float32.
    n_experts : from 1 to n_neurons.
    method : ``balanced_kmeans``: balanced Lloyd steps, simulated annealing of exchanges, and descent until no
        swap of two neurons and no move of one lowers the SSE by more than 4e-6 of the mean squared distance
        of a row to the mean row; ``malinen_franti``: balanced Lloyd steps alone; ``random``;
        ``contiguous``: runs of neighbouring neurons.
    seed : not negative.
    n_starts : independent starts of the first two methods; the one with the least SSE is returned.
    normalize_rows : divide each row by its norm; zero rows stay zero.
    device : ``cpu`` (numpy), ``cuda``, ``cuda:N``, ``auto`` (a GPU where there is one), or ``cpu-torch`` to
        test the code of the GPU without one. Another device finds another partition, as good.
    n_threads : threads on the CPU; None takes all that this process may use.
    progress : object with ``update(1)``, called after each start; or None.

    Raises
    ------
    BabelscopeError
        For rows that are not finite, not real or not two-dimensional, more experts than neurons, an unknown
        method or device, or a negative seed.
    """
    began = time.perf_counter()
    if method not in METHODS:
        raise BabelscopeError(f"experts.method {method!r}: allowed are {', '.join(METHODS)}")
    if n_starts < 1:
        raise BabelscopeError(f"experts.n_starts {n_starts}: need at least 1")
    if seed < 0:
        raise BabelscopeError(f"seed {seed}: must not be negative")
    rows = check_rows(rows, n_experts)
    prepared = prepare_rows(rows, normalize_rows)
    best: tuple[float, np.ndarray, tuple[int, int, int]] | None = None
    if method == "contiguous":
        labels = contiguous_labels(len(rows), n_experts)[prepared.order]
        best = (partition_sse(prepared.points[:-1], labels), labels, (0, 0, 0))
    elif method == "random":
        labels = random_labels(len(rows), n_experts, np.random.default_rng(seed))
        best = (partition_sse(prepared.points[:-1], labels), labels, (0, 0, 0))
    else:
        with open_backend(device, n_threads) as backend:
            for start in range(n_starts):
                rng = np.random.default_rng((seed, start))
                sse, labels, counts = _solve(prepared.points, n_experts, method, rng, backend)
                if best is None or sse < best[0]:
                    best = (sse, labels, counts)
                if progress is not None:
                    progress.update(1)
    assert best is not None
    sse, labels, counts = best
    if method != "contiguous":
        labels = _number_by_first(labels)
    in_order = np.empty(len(rows), dtype=np.int32)
    in_order[prepared.order] = labels
    seconds = time.perf_counter() - began
    asked = (method, seed, n_starts, normalize_rows, device)
    return ClusteringResult(in_order, sse * prepared.scale**2, *asked, *counts, seconds)


def reference_sse(
    rows: np.ndarray,
    labels: np.ndarray,
    n_experts: int,
    seed: int,
    normalize_rows: bool = False,
    n_threads: int | None = None,
) -> ReferenceSse:
    """SSE of a random balanced partition, and of one with free sizes, to hold a partition against.

    Parameters
    ----------
    rows, n_experts, seed, normalize_rows, n_threads : as in ``cluster_neurons``.
    labels : integer (n_neurons,), the partition; the one with free sizes grows out of it.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons``, and for labels that do not fit.
    """
    rows = check_rows(rows, n_experts)
    prepared = prepare_rows(rows, normalize_rows)
    points = prepared.points[:-1]
    check_labels(labels, len(rows), n_experts)
    random = partition_sse(points, random_labels(len(rows), n_experts, np.random.default_rng(seed)))
    with open_backend("cpu", n_threads) as backend:
        free = free_sizes(points, labels[prepared.order], n_experts, backend)
    return ReferenceSse(random * prepared.scale**2, partition_sse(points, free) * prepared.scale**2)


def _solve(
    points: np.ndarray, n_experts: int, method: str, rng: np.random.Generator, backend: Backend
) -> tuple[float, np.ndarray, tuple[int, int, int]]:
    """Run one start; return SSE, labels, and the numbers of steps, swaps and moves."""
    labels, n_steps = balanced_lloyd(points[:-1], n_experts, rng, backend, _MAX_LLOYD_STEPS)
    sse = partition_sse(points[:-1], labels)
    if method == "malinen_franti":
        return sse, labels, (n_steps, 0, 0)
    problem = make_problem(points, n_experts, backend)
    n_rounds = int(np.clip(_NEURON_ROUNDS // len(points), *_ANNEALING_ROUNDS))
    refined = refine(problem, labels, rng, n_rounds)
    refined_sse = partition_sse(points[:-1], refined.labels)
    if refined_sse > sse:
        # In few dimensions annealing can forget a good start.
        refined = refine(problem, labels, rng, 0)
        refined_sse = partition_sse(points[:-1], refined.labels)
    return refined_sse, refined.labels, (n_steps, refined.n_swaps, refined.n_moves)


def _number_by_first(labels: np.ndarray) -> np.ndarray:
    """Number experts by their first neuron."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
