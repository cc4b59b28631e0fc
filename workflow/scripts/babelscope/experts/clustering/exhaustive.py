"""Search over all pairs of neurons: proves that no swap and no move improves a partition."""

from __future__ import annotations

import numpy as np

from babelscope.experts.clustering.backend import Array
from babelscope.experts.clustering.offers import move_gains
from babelscope.experts.clustering.partition_state import Problem, State, exchange, own_products, refresh

# Gain, left place and right place of exchanges that improve, on the host.
_Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


def search_all_pairs(problem: Problem, state: State) -> np.ndarray:
    """Exchange until no pair of neurons, and no neuron and empty place, improves.

    An expert is searched against all others again only after it took part in an exchange or was passed over
    for one: all other pairs are as they were when they were found not to improve.

    Parameters
    ----------
    state : changed in place; afterwards no exchange lowers the SSE by more than ``problem.tolerance``.

    Returns
    -------
    int64 (2,), numbers of swaps and of moves.
    """
    backend = problem.backend
    width = len(state.members) // problem.n_experts
    refresh(problem, state)
    counts = np.zeros(2, dtype=np.int64)
    open_experts = np.arange(problem.n_experts)
    while len(open_experts):
        gain, left, right = _find_improving(problem, state, open_experts)
        chosen, open_experts = _choose(gain, left // width, right // width, problem.n_experts)
        if len(chosen):
            counts += exchange(problem, state, backend.asarray(left[chosen]), backend.asarray(right[chosen]))
    return counts


def _find_improving(problem: Problem, state: State, open_experts: np.ndarray) -> _Candidates:
    """Find for each neuron of the open experts the swap that improves most, and the moves that improve."""
    backend, xp = problem.backend, problem.backend.xp
    width = len(state.members) // problem.n_experts
    own = own_products(problem, state)
    weights = 1 / state.sizes
    cost = (2 * own * weights[:, None]).reshape(-1)
    gain = state.products * (2 * weights)[:, None] - cost
    if problem.n_holes:
        gain = xp.where(state.members == problem.hole, -xp.inf, gain)
    n_block = max(1, backend.search_elements // (width * len(state.members)))
    blocks = [open_experts[start : start + n_block] for start in range(0, len(open_experts), n_block)]
    found = backend.map(lambda block: _search_block(problem, state, weights, gain, block), blocks)
    if problem.n_holes:
        found.append(_improving_moves(problem, state, own))
    gains, left, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return gains, left, right


def _search_block(
    problem: Problem, state: State, weights: Array, single: Array, experts: np.ndarray
) -> _Candidates:
    """Search all neurons of ``experts`` against all others; ``single`` holds the gains of one neuron each."""
    backend, n_experts = problem.backend, problem.n_experts
    width = len(state.members) // n_experts
    own = backend.asarray(experts)
    places = (own[:, None] * width + backend.arange(width)).reshape(-1)
    gain = backend.take_columns(problem.gram.of_rows(state.members[places]), state.members)
    gain = gain.reshape(-1, width, n_experts, width)
    gain *= -2 * (weights[own][:, None] + weights)[:, None, :, None]
    gain += single[:, places].T.reshape(-1, width, n_experts, 1)
    gain += single[own].reshape(-1, 1, n_experts, width)
    gain[backend.arange(len(experts)), :, own] = -backend.xp.inf
    gain = gain.reshape(len(places), -1)
    partner = gain.argmax(1)
    best = backend.take_last(gain, partner)
    kept = backend.flatnonzero(best > problem.tolerance)
    return backend.to_numpy(best[kept]), backend.to_numpy(places[kept]), backend.to_numpy(partner[kept])


def _improving_moves(problem: Problem, state: State, own: Array) -> _Candidates:
    gain, place = (problem.backend.to_numpy(part) for part in move_gains(problem, state, own))
    larger, smaller = np.nonzero(gain > problem.tolerance)
    empty = problem.backend.to_numpy(state.members).reshape(problem.n_experts, -1) == problem.hole
    hole_place = empty.argmax(axis=1) + np.arange(problem.n_experts) * empty.shape[1]
    return gain[larger, smaller], place[larger, smaller], hole_place[smaller]


def _choose(
    gain: np.ndarray, left: np.ndarray, right: np.ndarray, n_experts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose exchanges greedily by gain, each expert once; also return all experts that occur in any."""
    taken = np.zeros(n_experts, dtype=bool)
    chosen = []
    for candidate in np.argsort(-gain, kind="stable"):
        pair = [left[candidate], right[candidate]]
        if not taken[pair].any():
            taken[pair] = True
            chosen.append(candidate)
    return np.array(chosen, dtype=np.int64), np.unique(np.concatenate((left, right)))
