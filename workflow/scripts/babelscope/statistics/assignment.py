"""Points paired with other points near them, none used twice, by the least sum of squared distances.

This is the assignment problem. Solving it on the matrix of all distances takes minutes where thousands of
points lie close together and compete for the same others. Here it is solved on the pairs that can matter
alone, with a proof that no other pair would lower the sum.

A solution has prices: a point pays ``u``, a surcharge ``s >= 0`` included for its partner if others want that
too. It is the best of all pairs if no pair costs less than the point pays, ``|x - y|^2 + s < u``. Squared
distance plus surcharge is the squared distance to the partner moved by ``sqrt(s)`` along one further axis, so
that a k-d tree finds such pairs. They are added until there are none (column generation; for the duals see
Burkard, Dell'Amico and Martello 2012, "Assignment problems", 4.1.1). Good pairs to start with come from the
prices of a third of the points.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from babelscope.study.errors import require

# What is solved on the matrix of all pairs: few points, or so few others for each that nearly all are taken,
# where the sparse solver's prices creep up (a minute for a thousand points and as many others).
_FEW, _SCARCE = 100, 1.1
# One point of so many gives the first prices.
_STEP = 3
# Pairs of each point to start with, and those that are added to each at most, the first time.
_FIRST, _MORE = 48, 16
# Rounding of squared distances and of prices, as shares of the largest distance; the second is larger.
_EXACT, _ROUNDED = 1e-13, 1e-12


def assign_nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pair every point with another one of its own.

    Parameters
    ----------
    points : float64 (n, n_dimensions).
    others : float64 (m, n_dimensions), m >= n.

    Returns
    -------
    int64 (n,), the other of each point; of all ways the one with the least sum of squared distances, up to
    rounding: ``n`` times 10^-12 of the largest distance. Where several ways have the same sum, one of them.

    Raises
    ------
    BabelscopeError
        For fewer others than points.
    """
    require(len(others) >= len(points), f"{len(points)} points and {len(others)} others to pair them with")
    if _is_small(points, others):
        return linear_sum_assignment(cdist(points, others, "sqeuclidean"))[1]
    return _assign(np.asarray(points, dtype=np.float64), np.asarray(others, dtype=np.float64))[0]


def _is_small(points: np.ndarray, others: np.ndarray) -> bool:
    return len(points) <= _FEW or len(others) < _SCARCE * len(points)


def _assign(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The other of each point, and what each pays."""
    n, m = len(points), len(others)
    if _is_small(points, others):
        costs = cdist(points, others, "sqeuclidean")
        partner = linear_sum_assignment(costs)[1]
        row, other = np.divmod(np.arange(n * m), m)
        return partner, _prices(row, other, costs.ravel(), partner, m)[0]
    every = np.arange(n)
    near = _cheapest(points, others, _first_surcharges(points, others), _FIRST)[1]
    # the second part makes sure that there is a way to pair all
    pairs = np.unique(np.concatenate([(every[:, None] * m + near).ravel(), every * m + every]))
    more = _MORE
    while True:
        row, other = np.divmod(pairs, m)
        costs = ((points[row] - others[other]) ** 2).sum(axis=1)
        largest = costs.max() or 1.0
        # what all pairs have in common changes nothing; a pair that costs nothing would count as none
        start = np.searchsorted(row, np.arange(n + 1))
        graph = csr_array((costs + largest, other, start), shape=(n, m))
        partner = min_weight_full_bipartite_matching(graph)[1]
        paid, surcharges = _prices(row, other, costs, partner, m)
        cost, near = _cheapest(points, others, surcharges, more)
        lower = cost < paid[:, None] - _ROUNDED * largest
        n_pairs = len(pairs)
        pairs = np.union1d(pairs, (every[:, None] * m + near)[lower])
        if len(pairs) == n_pairs:
            return partner, paid
        more *= 2  # few rounds also where points are all alike


def _first_surcharges(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The lowest surcharges at which a third of the points, solved alone, would take no other."""
    some = points[::_STEP]
    paid = _assign(some, others[::_STEP])[1]
    highest = paid.max()
    # what a point pays is below the highest: by that much the point itself is moved
    cost = _cheapest(others, some, highest - paid, 1)[0][:, 0]
    return np.maximum(0.0, highest - cost)


def _cheapest(
    points: np.ndarray, others: np.ndarray, surcharges: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Costs of the k cheapest others of each point, surcharge included, and which they are, (n, k)."""
    lifted = np.column_stack([others, np.sqrt(surcharges)])
    level = np.column_stack([points, np.zeros(len(points))])
    distance, near = KDTree(lifted).query(level, k=np.arange(1, min(k, len(others)) + 1))
    return distance**2, near


def _prices(
    row: np.ndarray, other: np.ndarray, costs: np.ndarray, partner: np.ndarray, m: int
) -> tuple[np.ndarray, np.ndarray]:
    """The lowest prices that prove the pairs the best of those listed: what points pay, others' surcharges.

    A surcharge is what a partner is worth to those who would take it if they could: the most that any saves,
    who would then give up one of a lower surcharge.
    """
    n = len(partner)
    taken_by = np.full(m, -1)
    taken_by[partner] = np.arange(n)
    own = np.empty(n)
    is_own = taken_by[other] == row
    own[row[is_own]] = costs[is_own]
    wanted = np.flatnonzero(taken_by[other] >= 0)
    wanted = wanted[np.argsort(taken_by[other[wanted]], kind="stable")]
    start = np.searchsorted(taken_by[other[wanted]], np.arange(n))
    by, saving = row[wanted], own[row[wanted]] - costs[wanted]
    surcharge, tolerance = np.zeros(n), _EXACT * costs.max()
    # Bellman-Ford: without rounding it ends after n rounds at most
    for _ in range(n):
        higher = np.maximum.reduceat(surcharge[by] + saving, start)
        if (higher <= surcharge + tolerance).all():
            break
        surcharge = np.maximum(surcharge, higher)
    surcharges = np.zeros(m)
    surcharges[partner] = surcharge
    return own + surcharge, surcharges
