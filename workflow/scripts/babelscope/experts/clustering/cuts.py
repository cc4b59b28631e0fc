"""The ways to cut a layer into experts: one row each.

To add a way, add a row to ``CUTS`` and run ``make docs`` (docs/extending.md). Every row can be the study's
own partition (``experts.method``) and a control that is recorded in the same pass (``recording.controls``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from babelscope.experts.clustering.backend import Backend
from babelscope.experts.clustering.controls import contiguous_labels, random_labels
from babelscope.experts.clustering.exchange import refine
from babelscope.experts.clustering.lloyd import balanced_lloyd
from babelscope.experts.clustering.partition_state import make_problem
from babelscope.experts.clustering.rows import PreparedRows

_MAX_LLOYD_STEPS = 100
# More rounds find better partitions, and more than as much time spent on more starts does. These keep a layer
# of 2048 rows at two to three seconds and one of 11008 at a fraction of one start of k-means-constrained.
_ANNEALING_ROUNDS = (45, 250)
_NEURON_ROUNDS = 200 * 2048


@dataclass(frozen=True)
class Found:
    """The outcome of one start.

    Attributes
    ----------
    labels : integer (n_neurons,), expert of each prepared row, 0 to n_experts - 1; sizes differ by at most
        one.
    n_steps : balanced Lloyd steps. n_swaps, n_moves : pair swaps and single moves of the refinement.
    sse : sum of squared errors of the prepared rows, where it has been computed.
    """

    labels: np.ndarray
    n_steps: int = 0
    n_swaps: int = 0
    n_moves: int = 0
    sse: float | None = None


@dataclass(frozen=True)
class Cut:
    """One way to cut a layer into experts of equal size.

    Attributes
    ----------
    label : in figures.
    solve : one start, out of the prepared rows, the number of experts, a random generator and the arrays.
    searches : True where starts differ in quality: of ``n_starts`` the one with the least sum of squared
        errors is kept. Otherwise there is one.
    by_position : True where experts follow the order in which the model stores neurons and are numbered by
        it; otherwise they do not depend on that order.
    """

    label: str
    solve: Callable[[PreparedRows, int, np.random.Generator, Backend], Found]
    searches: bool = True
    by_position: bool = False


def malinen_franti(rows: PreparedRows, n_experts: int, rng: np.random.Generator, backend: Backend) -> Found:
    """Balanced Lloyd steps from random rows until nothing changes (Malinen and Fränti 2014)."""
    labels, n_steps = balanced_lloyd(rows.points[:-1], n_experts, rng, backend, _MAX_LLOYD_STEPS)
    return Found(labels, n_steps)


def balanced_kmeans(rows: PreparedRows, n_experts: int, rng: np.random.Generator, backend: Backend) -> Found:
    """Balanced Lloyd steps, simulated annealing of exchanges, and descent to an optimum under exchanges.

    The optimum: no swap of two neurons and no move of one lowers the sum of squared errors by more than 4e-6
    of the mean squared distance of a row to the mean row.
    """
    start = malinen_franti(rows, n_experts, rng, backend)
    problem = make_problem(rows.points, n_experts, backend)
    n_rounds = int(np.clip(_NEURON_ROUNDS // len(rows.points), *_ANNEALING_ROUNDS))
    refined = refine(problem, start.labels, rng, n_rounds)
    points = problem.points[:-1]
    sse = backend.sse(points, refined.labels)
    # In few dimensions annealing can forget a good start.
    if sse > backend.sse(points, start.labels):
        refined = refine(problem, start.labels, rng, 0)
        sse = backend.sse(points, refined.labels)
    return Found(refined.labels, start.n_steps, refined.n_swaps, refined.n_moves, sse)


CUTS: dict[str, Cut] = {
    "balanced_kmeans": Cut("balanced k-means", balanced_kmeans),
    "malinen_franti": Cut("balanced Lloyd steps", malinen_franti),
    "random": Cut(
        "random",
        lambda rows, n_experts, rng, backend: Found(random_labels(rows.n_neurons, n_experts, rng)),
        searches=False,
    ),
    "contiguous": Cut(
        "runs of neighbours",
        lambda rows, n_experts, rng, backend: Found(contiguous_labels(rows.n_neurons, n_experts)[rows.order]),
        searches=False,
        by_position=True,
    ),
}
