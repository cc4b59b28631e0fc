"""Exact balanced assignment: a transport problem with n_neurons sources and n_experts sinks.

Prices of the experts are first raised where too many neurons want in (an entropic dual, as in Sinkhorn's
iterations), which leaves few neurons in the wrong place; those are then moved along successive shortest
augmenting paths in the graph of experts. The paths make the result optimal whatever the prices were.

References
----------
Ahuja, Magnanti, Orlin (1993), Network Flows, section 9.7.
"""

from __future__ import annotations

import itertools

import numpy as np

from babelscope.experts.clustering.backend import Backend

_HOLE = -1
# Temperatures of the prices relative to the spread of the cost, length of a step relative to Sinkhorn's
# (longer ones converge faster where it is cold, and overshoot where it is hot), and the most steps at each.
# The hot ones bring the prices near where rows are heavy-tailed; without them thousands of neurons are left
# to the paths.
_PRICE_SCHEDULE = ((3.0, 1.0, 8), (1.0, 1.2, 8), (0.3, 1.6, 10), (0.1, 1.8, 12), (0.03, 1.8, 12))
# A temperature is done when no expert's load is off by more than this share.
_LOAD_TOLERANCE = 0.1


def assign_balanced(
    cost: np.ndarray, prices: np.ndarray | None = None, backend: Backend | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Assign every neuron to an expert at the least total cost, with sizes that differ by at most one.

    Parameters
    ----------
    cost : float64 (n_neurons, n_experts), finite.
    prices : float64 (n_experts,), where to start from, for instance the prices of a similar cost; the optimum
        does not depend on it.
    backend : where the prices are found; None: numpy. The optimum does not depend on it either.

    Returns
    -------
    labels : int64 (n_neurons,).
    prices : float64 (n_experts,), approximately optimal dual prices.
    """
    prices = _find_prices(cost, prices, backend)
    labels = (cost + prices).argmin(axis=1)
    return _Transport(cost, prices, labels).solve(), prices


def _find_prices(cost: np.ndarray, prices: np.ndarray | None, backend: Backend | None) -> np.ndarray:
    n_neurons, n_experts = cost.shape
    centred = cost - cost.mean(axis=1, keepdims=True)
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread == 0 or n_experts == 1:
        return np.zeros(n_experts)
    centred /= -spread
    start = np.zeros(n_experts) if prices is None else prices / spread
    gain, scaled = centred.astype(np.float32), start.astype(np.float32)
    xp, effort = np, 1
    if backend is not None:
        xp, effort = backend.xp, backend.price_effort
        gain, scaled = backend.asarray(gain), backend.asarray(scaled)
    target = n_neurons / n_experts
    for temperature, step_length, n_steps in _PRICE_SCHEDULE:
        for _ in range(n_steps * effort):
            share = gain - scaled
            share -= xp.amax(share, 1)[:, None]
            share /= temperature
            xp.exp(share, out=share)
            off = xp.log(((1 / share.sum(1)) @ share).clip(1e-3) / target)
            if float(abs(off).max()) < _LOAD_TOLERANCE / effort:
                break
            scaled = scaled + temperature * step_length * off
    found = scaled if backend is None else backend.to_numpy(scaled)
    return found.astype(np.float64) * spread


class _Transport:
    """Loads of the experts and the cheapest way to pass one neuron from each expert to each other."""

    def __init__(self, cost: np.ndarray, prices: np.ndarray, labels: np.ndarray) -> None:
        n_neurons, self.n_experts = cost.shape
        self.cost, self.prices, self.labels = cost, prices.copy(), labels
        self.capacity = -(-n_neurons // self.n_experts)
        # Holes fill the experts up to one capacity; each expert takes at most one, the cheapest first.
        n_holes = self.capacity * self.n_experts - n_neurons
        self.hole = np.zeros(self.n_experts, dtype=bool)
        self.hole[np.argsort(prices, kind="stable")[:n_holes]] = True
        self.load = np.bincount(labels, minlength=self.n_experts) + self.hole
        self.tolerance = 1e-12 * float(np.abs(cost).max() + 1)
        shape = (self.n_experts, self.n_experts)
        self.step_cost = np.full(shape, np.inf)
        self.step_neuron = np.full(shape, _HOLE)
        self._update_steps(range(self.n_experts))

    def solve(self) -> np.ndarray:
        """Pass neurons along cheapest paths until no expert is over capacity; int64 (n_neurons,) labels."""
        while (self.load > self.capacity).any():
            self._augment()
        return self.labels

    def _update_steps(self, experts: range | list[int]) -> None:
        for expert in experts:
            members = np.flatnonzero(self.labels == expert)
            if len(members):
                extra = self.cost[members]
                extra = extra - extra[:, expert, None]
                best = extra.argmin(axis=0)
                self.step_neuron[expert] = members[best]
                self.step_cost[expert] = extra[best, np.arange(self.n_experts)]
            else:
                self.step_cost[expert] = np.inf

    def _augment(self) -> None:
        """Pass one neuron from an expert with too many to one with too few, the cheapest way."""
        # A hole passes for nothing to an expert that has none.
        hole_passes = self.hole[:, None] & ~self.hole & (self.step_cost > 0)
        steps = np.where(hole_passes, 0.0, self.step_cost)
        # The prices make every step cost nothing or more, so that paths beyond the nearest target can be cut.
        steps = np.maximum(steps + self.prices - self.prices[:, None], 0.0)
        distance = np.where(self.load > self.capacity, 0.0, np.inf)
        parent = np.full(self.n_experts, -1)
        lacking = np.flatnonzero(self.load < self.capacity)
        frontier = np.flatnonzero(distance == 0)
        while len(frontier):
            through = distance[frontier, None] + steps[frontier]
            reached = through.min(axis=0)
            better = np.flatnonzero(reached < distance - self.tolerance)
            parent[better] = frontier[through[:, better].argmin(axis=0)]
            distance[better] = reached[better]
            frontier = better[distance[better] < distance[lacking].min()]
        path = [int(lacking[distance[lacking].argmin()])]
        while parent[path[-1]] >= 0:
            path.append(int(parent[path[-1]]))
        path.reverse()
        self.prices -= np.minimum(distance, distance[path[-1]])
        for source, sink in itertools.pairwise(path):
            if hole_passes[source, sink]:
                self.hole[source], self.hole[sink] = False, True
            else:
                self.labels[self.step_neuron[source, sink]] = sink
        self.load[path[0]] -= 1
        self.load[path[-1]] += 1
        self._update_steps(path)
