"""Experts: groups of similar neurons, of equal size, with the least sum of squared errors (SSE).

``cluster_neurons`` is what the workflow calls; the ways to cut are the table ``CUTS``. Balanced k-means here
means balanced Lloyd steps with an exact assignment, then refinement by exchanges to an optimum under all pair
swaps and single moves.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from babelscope.experts.clustering.backend import open_backend
from babelscope.experts.clustering.controls import random_labels
from babelscope.experts.clustering.cuts import CUTS, Found
from babelscope.experts.clustering.free_sizes import free_sizes
from babelscope.experts.clustering.result import ClusteringResult, ReferenceSse
from babelscope.experts.clustering.rows import (
    PreparedRows,
    check_labels,
    check_n_experts,
    check_rows,
    partition_sse,
    prepare_rows,
)
from babelscope.study.errors import BabelscopeError

__all__ = [
    "CUTS",
    "ClusteringResult",
    "ReferenceSse",
    "cluster_neurons",
    "partition_sse",
    "prepared_rows",
    "reference_sse",
]


def prepared_rows(
    rows: np.ndarray | PreparedRows, n_experts: int, normalize_rows: bool = False
) -> PreparedRows:
    """Check rows and bring them into the form that is clustered; what has it comes back as it is.

    Parameters
    ----------
    rows, n_experts, normalize_rows : as in ``cluster_neurons``.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons`` for rows and experts, and where rows were prepared otherwise than is asked.
    """
    if isinstance(rows, PreparedRows):
        check_n_experts(n_experts, rows.n_neurons)
        if rows.normalized != normalize_rows:
            raise BabelscopeError(
                f"normalize_rows {normalize_rows}: the rows were prepared with {rows.normalized}"
            )
        return rows
    return prepare_rows(check_rows(rows, n_experts), normalize_rows)


def cluster_neurons(
    rows: np.ndarray | PreparedRows,
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

    The result is the same for the same rows and seed on one device, whatever the number of threads and, on
    the CPU, whatever the processor (``clustering.backend`` says how, and where that was measured). It follows
    the neurons: permuting the rows permutes the labels. (``contiguous`` is about the order and does not; of
    equal rows any may take the place of the other.) Experts are numbered by their smallest row.

    Parameters
    ----------
    rows : (n_neurons, n_dims) real and finite, one row per neuron; computed with in float32. Or
        ``prepared_rows`` of them, which take a while and serve several calls.
    n_experts : from 1 to n_neurons.
    method : a row of ``CUTS``: ``balanced_kmeans``, ``malinen_franti`` (its first half, balanced Lloyd steps
        alone), ``random``, or ``contiguous`` (runs of neighbouring neurons).
    seed : not negative.
    n_starts : independent starts of a method that searches; the one with the least SSE is returned.
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
    if method not in CUTS:
        raise BabelscopeError(f"experts.method {method!r}: allowed are {', '.join(CUTS)}")
    if n_starts < 1:
        raise BabelscopeError(f"experts.n_starts {n_starts}: need at least 1")
    if seed < 0:
        raise BabelscopeError(f"seed {seed}: must not be negative")
    prepared = prepared_rows(rows, n_experts, normalize_rows)
    cut = CUTS[method]
    best: tuple[float, Found] | None = None
    with open_backend(device, n_threads) as backend:
        for start in range(n_starts if cut.searches else 1):
            rng = np.random.default_rng((seed, start) if cut.searches else seed)
            found = cut.solve(prepared, n_experts, rng, backend)
            sse = partition_sse(prepared.points[:-1], found.labels) if found.sse is None else found.sse
            if best is None or sse < best[0]:
                best = sse, found
            if progress is not None:
                progress.update(1)
    assert best is not None
    sse, found = best
    in_order = np.empty(prepared.n_neurons, dtype=np.int32)
    in_order[prepared.order] = found.labels if cut.by_position else _number_by_first(found.labels)
    counts = (found.n_steps, found.n_swaps, found.n_moves)
    seconds = time.perf_counter() - began
    asked = (method, seed, n_starts, normalize_rows, device)
    return ClusteringResult(in_order, sse * prepared.scale**2, *asked, *counts, seconds)


def reference_sse(
    rows: np.ndarray | PreparedRows,
    labels: np.ndarray,
    n_experts: int,
    seed: int,
    normalize_rows: bool = False,
    n_threads: int | None = None,
    device: str = "cpu",
) -> ReferenceSse:
    """SSE of a random balanced partition, and of one with free sizes, to compare a partition with.

    Parameters
    ----------
    rows, n_experts, seed, normalize_rows, n_threads, device : as in ``cluster_neurons``.
    labels : integer (n_neurons,), the partition; the one with free sizes grows out of it.

    Raises
    ------
    BabelscopeError
        As ``cluster_neurons``, and for labels that do not fit.
    """
    prepared = prepared_rows(rows, n_experts, normalize_rows)
    points = prepared.points[:-1]
    check_labels(labels, len(points), n_experts)
    random = random_labels(len(points), n_experts, np.random.default_rng(seed))
    with open_backend(device, n_threads) as backend:
        there = backend.asarray(points)
        free = free_sizes(points, there, labels[prepared.order], n_experts, backend)
        found = [backend.sse(there, partition) * prepared.scale**2 for partition in (random, free)]
    return ReferenceSse(*found)


def _number_by_first(labels: np.ndarray) -> np.ndarray:
    """Number experts by their first neuron."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
