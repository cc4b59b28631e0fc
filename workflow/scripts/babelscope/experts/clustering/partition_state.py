"""The partition that exchange refinement works on, and the gains of swaps and moves.

An expert of size m with sum of rows S adds ``-|S|^2 / m`` to the sum of squared errors (SSE), up to the
constant ``sum |x|^2``. With ``P[b, i] = S_b . x_i`` and ``w = 1 / m``, swapping neuron i of expert a with j
of b lowers it by

    u[i, b] + u[j, a] - 2 (w_a + w_b) x_i . x_j
    u[i, b] = w_b (2 P[b, i] + |x_i|^2) - w_a (2 P[a, i] - |x_i|^2)

with two parts that belong to one neuron each, and a pair term that is small where rows are nearly orthogonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from babelscope.experts.clustering.backend import Array, Backend
from babelscope.experts.clustering.gram import Gram, make_gram


@dataclass(frozen=True)
class Problem:
    """The constants of a refinement.

    Attributes
    ----------
    points : float32 (n_neurons + 1, n_dims); the last row is zero and fills empty places.
    square_norms : float32 (n_neurons + 1,).
    gram : inner products of the points.
    n_experts : number of experts.
    tolerance : an exchange counts as an improvement when it lowers the SSE by more than this.
    """

    points: Array
    square_norms: Array
    gram: Gram
    n_experts: int
    tolerance: float
    backend: Backend

    @property
    def hole(self) -> int:
        """Index of the zero row."""
        return len(self.points) - 1

    @property
    def n_holes(self) -> int:
        """Number of experts that are smaller by one than the others; 0 where all sizes are equal."""
        return -self.hole % self.n_experts


@dataclass
class State:
    """A partition by places: expert e has the places ``e * width`` to ``(e + 1) * width - 1``.

    Attributes
    ----------
    members : int64 (n_experts * width,), the neuron in each place; ``Problem.hole`` where it is empty.
    sizes : float32 (n_experts,), neurons of each expert.
    products : float32 (n_experts, n_experts * width), ``P + |x|^2 / 2`` of the neuron in each place.
    halves : float32 (n_experts * width,), ``|x|^2 / 2`` of the neuron in each place.
    """

    members: Array
    sizes: Array
    products: Array
    halves: Array


# An improvement must be this much of the mean squared distance of a row to the mean of all rows, which is
# 4e-6 / n_neurons of the SSE of a single cluster; float32 cannot tell less from rounding.
RELATIVE_TOLERANCE = 4e-6


def make_problem(points: np.ndarray, n_experts: int, backend: Backend) -> Problem:
    """Put prepared points on the device of ``backend``.

    Parameters
    ----------
    points : float32 (n_neurons + 1, n_dims), mean zero; the last row is zero.
    n_experts : from 1 to n_neurons.
    """
    square_norms = np.einsum("ij,ij->i", points, points)
    tolerance = RELATIVE_TOLERANCE * float(square_norms.sum(dtype=np.float64)) / max(len(points) - 1, 1)
    on_device = backend.asarray(points)
    gram = make_gram(on_device, backend)
    return Problem(on_device, backend.asarray(square_norms), gram, n_experts, tolerance, backend)


def make_state(problem: Problem, labels: np.ndarray) -> State:
    """Build the state of a partition whose sizes differ by at most one.

    Parameters
    ----------
    labels : int64 (n_neurons,).
    """
    n_experts, backend = problem.n_experts, problem.backend
    width = -(-len(labels) // n_experts)
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=n_experts)
    first = np.cumsum(sizes) - sizes
    places = np.arange(len(labels)) - np.repeat(first, sizes) + np.repeat(np.arange(n_experts), sizes) * width
    members = np.full(n_experts * width, problem.hole)
    members[places] = order
    state = State(
        backend.asarray(members),
        backend.asarray(sizes.astype(np.float32)),
        backend.asarray(np.empty((0, 0), dtype=np.float32)),
        backend.asarray(np.empty(0, dtype=np.float32)),
    )
    refresh(problem, state)
    return state


def refresh(problem: Problem, state: State) -> None:
    """Compute ``products`` and ``halves`` from the members, in place: updates gather rounding."""
    backend, n_experts = problem.backend, problem.n_experts
    grouped = state.members.reshape(n_experts, -1)
    n_block = max(1, backend.search_elements // (grouped.shape[1] * problem.points.shape[1]))
    starts = range(0, n_experts, n_block)
    sums = backend.map(lambda start: problem.points[grouped[start : start + n_block]].sum(1), starts)
    state.halves = problem.square_norms[state.members] / 2
    products = backend.matmul_nt(backend.xp.concatenate(sums), problem.points)
    state.products = backend.take_columns(products, state.members) + state.halves


def labels_of(problem: Problem, state: State) -> np.ndarray:
    """Return int64 (n_neurons,) labels."""
    members = problem.backend.to_numpy(state.members).reshape(problem.n_experts, -1)
    labels = np.empty(problem.hole + 1, dtype=np.int64)
    labels[members] = np.arange(problem.n_experts)[:, None]
    return labels[:-1]


def own_products(problem: Problem, state: State) -> Array:
    """Return ``P[a, i] - |x_i|^2 / 2`` of each place's neuron with its own expert a, (n_experts, width)."""
    everyone = problem.backend.arange(problem.n_experts)
    grouped = state.products.reshape(problem.n_experts, problem.n_experts, -1)
    return grouped[everyone, everyone] - 2 * state.halves.reshape(problem.n_experts, -1)


def exchange(
    problem: Problem, state: State, left: Array, right: Array, keep_products: bool = True
) -> np.ndarray:
    """Exchange the neurons in places ``left`` with those in ``right``; no expert occurs twice.

    Parameters
    ----------
    left, right : int64 (n_exchanges,), places.
    keep_products : update ``state.products``; otherwise they are wrong until ``refresh`` is called.

    Returns
    -------
    int64 (2,), how many of them were swaps, and how many moves (one of the two places was empty).
    """
    width = len(state.members) // problem.n_experts
    neurons_left, neurons_right = state.members[left], state.members[right]
    experts_left, experts_right = left // width, right // width
    xp = problem.backend.xp
    both, swapped = xp.concatenate((left, right)), xp.concatenate((right, left))
    if keep_products:
        difference = problem.gram.of_differences(neurons_right, neurons_left)
        change = problem.backend.take_columns(difference, state.members)
        state.products[experts_left] += change
        state.products[experts_right] -= change
        state.products[:, both] = problem.backend.take_columns(state.products, swapped)
    state.members[both] = state.members[swapped]
    state.halves[both] = state.halves[swapped]
    n_moves = 0
    if problem.n_holes:
        arrives = (neurons_right != problem.hole) * 1 - (neurons_left != problem.hole) * 1
        state.sizes[experts_left] += arrives
        state.sizes[experts_right] -= arrives
        n_moves = int((arrives != 0).sum())
    return np.array([len(left) - n_moves, n_moves])
