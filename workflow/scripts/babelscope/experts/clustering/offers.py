"""The best exchange between each pair of experts."""

from __future__ import annotations

from dataclasses import dataclass

from babelscope.experts.clustering.backend import Array
from babelscope.experts.clustering.partition_state import Problem, State, own_products


@dataclass(frozen=True)
class Offers:
    """For each pair of experts the best exchange.

    Attributes
    ----------
    gain : float32 (n_experts, n_experts), symmetric, by how much the SSE would fall; -inf: no exchange.
    place : int64 (n_experts, n_experts), ``place[a, b]`` is the place in a and ``place[b, a]`` the one in b.
    """

    gain: Array
    place: Array


@dataclass(frozen=True)
class Noise:
    """Noise of one round of annealing.

    Attributes
    ----------
    places : float32 (n_places,), added to what the neuron in each place would gain by leaving.
    pairs : float32 (n_experts, n_experts); ``pairs[a, b] + pairs[b, a]`` is added to the gain of a and b.
    """

    places: Array
    pairs: Array


def find_offers(problem: Problem, state: State, noise: Noise | None) -> Offers:
    """Find the best swap, or move where sizes are ragged, of each pair of experts.

    The two neurons are chosen by the parts of the gain that belong to one neuron each, and the pair term is
    added after that where it is at hand: nearly always the best swap, at a small part of its cost.

    Parameters
    ----------
    noise : added to the gains, or None.
    """
    n_experts, backend, xp = problem.n_experts, problem.backend, problem.backend.xp
    experts = backend.arange(n_experts)
    weights = 1 / state.sizes
    own = own_products(problem, state)
    leaving = 2 * own * weights[:, None]
    if noise is not None:
        leaving = leaving - noise.places.reshape(own.shape)
    value, place = _best_leavers(problem, state, weights, leaving)
    gain = value + value.T
    if problem.gram.is_stored:
        neuron = state.members[place]
        gain -= 2 * (weights[:, None] + weights) * problem.gram.of_pairs(neuron, neuron.T)
    if problem.n_holes:
        gain, place = _add_moves(problem, state, own, gain, place)
    if noise is not None:
        gain = gain + noise.pairs + noise.pairs.T
    gain[experts, experts] = -xp.inf
    return Offers(gain, place)


def _best_leavers(problem: Problem, state: State, weights: Array, cost: Array) -> tuple[Array, Array]:
    """Find the neuron of each expert a that gains most by leaving for b.

    Parameters
    ----------
    weights : (n_experts,), what the products with the new expert are multiplied with, halved.
    cost : (n_experts, width), what each place's neuron loses by leaving.

    Returns
    -------
    value, place : (n_experts, n_experts), for a and b.
    """
    n_experts, backend, xp = problem.n_experts, problem.backend, problem.backend.xp
    width = cost.shape[1]
    if problem.n_holes:
        cost = xp.where(state.members.reshape(cost.shape) == problem.hole, xp.inf, cost)
    cost = cost.reshape(-1)
    n_block = max(1, backend.block_elements // len(state.members))

    def best(start: int) -> tuple[Array, Array]:
        block = slice(start, start + n_block)
        gain = state.products[block] * (2 * weights[block])[:, None]
        gain -= cost
        gain = gain.reshape(-1, n_experts, width)
        place = gain.argmax(2)
        return backend.take_last(gain, place), place

    parts = backend.map(best, range(0, n_experts, n_block))
    value = xp.concatenate([part[0] for part in parts]).T
    place = xp.concatenate([part[1] for part in parts]).T
    return value, place + (backend.arange(n_experts) * width)[:, None]


def _add_moves(problem: Problem, state: State, own: Array, gain: Array, place: Array) -> tuple[Array, Array]:
    """Take a move from a larger to a smaller expert wherever it gains more than the best swap of the two."""
    n_experts, backend, xp = problem.n_experts, problem.backend, problem.backend.xp
    move, move_place = move_gains(problem, state, own)
    width = own.shape[1]
    empty = state.members.reshape(n_experts, width) == problem.hole
    is_larger = ~empty.any(1)
    hole_place = (empty * 1).argmax(1) + backend.arange(n_experts) * width
    place_of_move = xp.where(is_larger[:, None], move_place, hole_place[:, None])
    either_way = xp.maximum(move, move.T)
    better = either_way > gain
    return xp.where(better, either_way, gain), xp.where(better, place_of_move, place)


def move_gains(problem: Problem, state: State, own: Array) -> tuple[Array, Array]:
    """Gain and place of the best move from a to b, -inf unless a is larger than b."""
    xp = problem.backend.xp
    small = problem.hole // problem.n_experts
    weights = state.sizes * 0 + 1 / (small + 1)
    value, place = _best_leavers(problem, state, weights, 2 * own / small)
    squares = (own + state.halves.reshape(own.shape)).sum(1)
    value = value + (squares[:, None] - squares) * (1 / small - 1 / (small + 1))
    allowed = (state.sizes[:, None] > small) & (state.sizes <= small)
    return xp.where(allowed, value, -xp.inf), place
