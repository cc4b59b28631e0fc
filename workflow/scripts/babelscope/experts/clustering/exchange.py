"""Refinement of a balanced partition by exchanges, many at a time.

Each round finds, for every pair of experts, the most promising swap (and, where sizes are ragged, move), then
a matching of the experts, so that exchanges of one round hardly interfere: first with noise that is lowered
to zero (simulated annealing), then greedily, and at the end by a search over all pairs that proves that none
improves.

References
----------
Kirkpatrick, Gelatt, Vecchi (1983), Optimization by Simulated Annealing, Science 220, 671-680.
Preis (1999), Linear Time 1/2-Approximation Algorithm for Maximum Weighted Matching in General Graphs,
STACS 99, 259-269: a matching by locally heaviest edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from babelscope.experts.clustering.backend import Array
from babelscope.experts.clustering.exhaustive import search_all_pairs
from babelscope.experts.clustering.offers import Noise, Offers, find_offers
from babelscope.experts.clustering.partition_state import (
    Problem,
    State,
    exchange,
    labels_of,
    make_state,
    refresh,
)

# Partner of each expert by gain, see ``_make_match``.
Match = Callable[[Array], Array]

_MATCHING_STEPS = 6
_PLACES_PER_PARTNER = 2


@dataclass(frozen=True)
class Refined:
    """A refined partition: int64 (n_neurons,) labels, and how many swaps and moves it took."""

    labels: np.ndarray
    n_swaps: int
    n_moves: int


def refine(
    problem: Problem, labels: np.ndarray, rng: np.random.Generator, n_rounds: int, heat: float = 0.7
) -> Refined:
    """Anneal for ``n_rounds`` rounds, then go to an optimum under single swaps and moves.

    Parameters
    ----------
    problem : the rows on their device.
    labels : int64 (n_neurons,), sizes differ by at most one.
    rng : draws the noise.
    n_rounds : rounds with noise; 0 only descends, and then the SSE never rises.
    heat : first standard deviation of the noise, in units of the spread of the gains.
    """
    state = make_state(problem, labels)
    counts = np.zeros(2, dtype=np.int64)
    if 1 < problem.n_experts < len(labels):
        match = _make_match(problem)
        if n_rounds:
            counts += _anneal(problem, state, match, rng, n_rounds, heat)
        counts += _descend(problem, state, match)
        counts += search_all_pairs(problem, state)
    return Refined(labels_of(problem, state), int(counts[0]), int(counts[1]))


def _anneal(
    problem: Problem, state: State, match: Match, rng: np.random.Generator, n_rounds: int, heat: float
) -> np.ndarray:
    n_experts, backend = problem.n_experts, problem.backend
    counts = np.zeros(2, dtype=np.int64)
    n_places = len(state.members)
    spread = heat * _gain_spread(problem, state)
    n_drawn = n_places + n_experts**2
    # One pool serves all rounds, each from another offset: drawing again would cost as much as the round.
    pool = backend.asarray(rng.standard_normal(4 * n_drawn, dtype=np.float32))
    n_partners = max(1, n_places // n_experts // _PLACES_PER_PARTNER)
    for done in range(n_rounds):
        start = int(rng.integers(3 * n_drawn))
        drawn = pool[start : start + n_drawn] * (spread * (1 - done / n_rounds))
        noise = Noise(drawn[:n_places], drawn[n_places:].reshape(n_experts, n_experts))
        counts += _exchange_matched(problem, state, match, find_offers(problem, state, noise), n_partners)
    return counts


def _descend(problem: Problem, state: State, match: Match) -> np.ndarray:
    refresh(problem, state)
    counts = np.zeros(2, dtype=np.int64)
    while (done := _exchange_matched(problem, state, match, find_offers(problem, state, None))).any():
        counts += done
    return counts


def _gain_spread(problem: Problem, state: State) -> float:
    """Standard deviation over experts of what a neuron would gain there, root mean square over neurons."""
    width = len(state.members) // problem.n_experts
    products = problem.backend.to_numpy(state.products)
    total = 0.0
    for expert in range(problem.n_experts):
        foreign = np.delete(products[:, expert * width : (expert + 1) * width], expert, axis=0)
        total += float(foreign.var(axis=0).mean())
    mean_size = problem.hole / problem.n_experts
    return 2 / mean_size * np.sqrt(total / problem.n_experts)


def _exchange_matched(
    problem: Problem, state: State, match: Match, offers: Offers, n_partners: int = 1
) -> np.ndarray:
    """Match experts that are each other's best partner and exchange; return how many swaps and moves."""
    backend, xp = problem.backend, problem.backend.xp
    experts = backend.arange(problem.n_experts)
    counts = np.zeros(2, dtype=np.int64)
    gain, place = offers.gain, offers.place
    for partner in range(n_partners):
        matched = match(gain)
        first = backend.flatnonzero(matched > experts)
        if len(first) == 0:
            break
        second = matched[first]
        left, right = place[first, second], place[second, first]
        if not problem.gram.is_stored and n_partners == 1:
            left, right = _keep_improving(problem, state, gain[first, second], left, right)
        sizes = state.sizes + 0
        # Without the Gram matrix one computation of all products is cheaper than many updates.
        counts += exchange(problem, state, left, right, problem.gram.is_stored or n_partners == 1)
        if partner + 1 < n_partners:
            touched = state.members < 0
            touched[left] = touched[right] = True
            stale = touched[place] | (state.sizes != sizes)[:, None]
            gain = xp.where(stale | stale.T, -xp.inf, gain)
    if n_partners > 1 and not problem.gram.is_stored:
        refresh(problem, state)
    return counts


def _keep_improving(
    problem: Problem, state: State, gain: Array, left: Array, right: Array
) -> tuple[Array, Array]:
    """Subtract the pair term from gains that lack it, and drop exchanges that do not improve."""
    width = len(state.members) // problem.n_experts
    weights = 1 / state.sizes
    pair = problem.gram.of_pairs(state.members[left], state.members[right])
    gain = gain - 2 * (weights[left // width] + weights[right // width]) * pair
    kept = problem.backend.flatnonzero(gain > problem.tolerance)
    return left[kept], right[kept]


def _make_match(problem: Problem) -> Match:
    """A function from gains to int64 (n_experts,), the partner of each expert, or -1.

    Experts are paired by locally best gain above the tolerance; none occurs twice.
    """
    backend, xp = problem.backend, problem.backend.xp

    def match(gain: Array) -> Array:
        experts = backend.arange(problem.n_experts)
        partner = experts * 0 - 1
        gain = xp.where(gain > problem.tolerance, gain, -xp.inf)
        for _ in range(_MATCHING_STEPS):
            best = gain.argmax(1)
            mutual = (best[best] == experts) & (gain[experts, best] > 0)
            partner = xp.where(mutual, best, partner)
            gain = xp.where(mutual[:, None] | mutual, -xp.inf, gain)
        return partner

    example = np.zeros((problem.n_experts, problem.n_experts), dtype=np.float32)
    return backend.replayed(match, backend.asarray(example))
