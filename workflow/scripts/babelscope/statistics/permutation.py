"""Permutation tests on distance matrices: groups of labels, Mantel, partial Mantel.

All tests are exact where every distinct assignment can be looked at, and drawn at random, the data's own
assignment counted in, where they are too many.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import rankdata

from babelscope.study.errors import BabelscopeError

# 8! = 40,320: eight objects are permuted exactly, in a tenth of a second.
MAX_EXACT = 50_000
N_RANDOM = 9_999
_CHUNK = 20_000
# two assignments that tie but for rounding must count as a tie
_TIE = 1e-12


@dataclass(frozen=True)
class PermutationTest:
    """Outcome of one test.

    Attributes
    ----------
    statistic : what was permuted (see the test).
    effect : effect size in [-1, 1] (see the test).
    p_value : one-sided, share of assignments with a statistic at least as large; in (0, 1].
    n_assignments : assignments looked at. exact : whether these are all distinct ones.
    """

    statistic: float
    effect: float
    p_value: float
    n_assignments: int
    exact: bool


def compare_groups(
    distance: np.ndarray,
    labels: Sequence[str],
    rng: np.random.Generator,
    max_exact: int = MAX_EXACT,
    n_random: int = N_RANDOM,
) -> PermutationTest | None:
    """Are objects of one group nearer to each other than to those of other groups?

    Parameters
    ----------
    distance : float64 (n, n), symmetric.
    labels : group of every object.
    rng : draws ``n_random`` assignments where there are more than ``max_exact`` distinct ones.

    Returns
    -------
    ``statistic`` is the mean distance between groups less that within groups, ``effect`` is ANOSIM's R
    (Clarke 1993, "Non-parametric multivariate analyses of changes in community structure"): 1 where every
    pair within is nearer than every pair between, 0 where they mix. None where no group has two members, or
    all objects are of one group.
    """
    pairs = _condense(_check(distance))
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    within = _pairs_within(codes[None])[0]
    if not within.any() or within.all():
        return None
    sizes = np.bincount(codes)
    n_distinct = count_assignments(sizes)
    exact = n_distinct <= max_exact
    observed = _contrast(pairs, within[None])[0]
    if exact:
        chunks = iter(_all_assignments(tuple(sorted(int(size) for size in sizes))))
    else:
        chunks = _slices(rng.permuted(np.tile(codes, (n_random, 1)), axis=1))
    n_extreme = n_seen = 0
    for chunk in chunks:
        contrast = _contrast(pairs, _pairs_within(chunk))
        n_extreme += int((contrast >= observed - _TIE * np.ptp(pairs)).sum())
        n_seen += len(chunk)
    ranks = rankdata(pairs)
    effect = (ranks[~within].mean() - ranks[within].mean()) / (len(pairs) / 2)
    return PermutationTest(float(observed), float(effect), *_p_value(n_extreme, n_seen, exact), exact)


def mantel(
    distance: np.ndarray,
    predictor: np.ndarray,
    rng: np.random.Generator,
    controls: Sequence[np.ndarray] = (),
    max_exact: int = MAX_EXACT,
    n_random: int = N_RANDOM,
) -> PermutationTest | None:
    """Are objects that are far apart by the predictor far apart by the distance, other things equal?

    With controls the test is that of double semi-partialling: what the controls leave of the predictor is
    permuted, rows and columns together, and correlated with what they leave of the distance. Of the known
    permutation schemes it keeps its level best where predictor and controls go together (Dekker, Krackhardt
    and Snijders 2007, "Sensitivity of MRQAP tests to collinearity and autocorrelation conditions"). Without
    controls it is Mantel's test (1967).

    Parameters
    ----------
    distance, predictor, controls : float64 (n, n), symmetric.
    rng : draws ``n_random`` permutations where ``n!`` is more than ``max_exact``.

    Returns
    -------
    ``statistic`` and ``effect`` are the (partial) Pearson correlation over pairs. None where the predictor
    has nothing left that the controls do not say.
    """
    y = _condense(_check(distance))
    n = len(distance)
    x = _condense(_check(predictor, n))
    design = np.column_stack([np.ones(len(y)), *(_condense(_check(control, n)) for control in controls)])
    basis = _column_space(design)
    residual_y, residual_x = _residual(y, basis), _residual(x, basis)
    if min(_share_left(y, residual_y), _share_left(x, residual_x)) < 1e-9:
        return None
    residual_y /= np.linalg.norm(residual_y)
    exact = math.factorial(n) <= max_exact
    if exact:
        orders = _all_pair_orders(n)
    else:
        orders = _pair_orders(rng.permuted(np.tile(np.arange(n), (n_random, 1)), axis=1))
    observed = float(residual_x @ residual_y / np.linalg.norm(residual_x))
    squared_length = float(residual_x @ residual_x)  # no permutation changes it
    n_extreme = 0
    for chunk in _slices(orders):
        moved = residual_x[chunk]  # (permutation, pair)
        # a permuted residual has a part again that the controls explain
        left = squared_length - ((moved @ basis) ** 2).sum(axis=1)
        correlation = moved @ residual_y / np.sqrt(np.maximum(left, _TIE * squared_length))
        n_extreme += int((correlation >= observed - _TIE).sum())
    n_seen = len(orders)
    return PermutationTest(observed, observed, *_p_value(n_extreme, n_seen, exact), exact)


def count_assignments(sizes: Sequence[int] | np.ndarray) -> int:
    """Ways to cut ``sum(sizes)`` objects into groups of these sizes, groups of one size being equal."""
    sizes = [int(size) for size in sizes]
    ways = math.factorial(sum(sizes))
    for size in sizes:
        ways //= math.factorial(size)
    for size in set(sizes):
        ways //= math.factorial(sizes.count(size))
    return ways


def distinct_assignments(sizes: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
    """Every way to cut objects into groups of these sizes, once.

    Yields
    ------
    int64 (n_objects,), the group of every object; groups of one size come in the order of their first
    members, so that two yields never are the same partition under other names.
    """
    wanted = sorted((int(size) for size in sizes), reverse=True)

    def place(free: tuple[int, ...], group: int, labels: np.ndarray) -> Iterator[np.ndarray]:
        if group == len(wanted):
            yield labels.copy()
            return
        size = wanted[group]
        if size == 1:
            # objects that are left stand alone: there is one way
            labels[list(free)] = np.arange(group, len(wanted))
            yield labels.copy()
            return
        # groups of one size are named in the order of their first members
        after = int(np.flatnonzero(labels == group - 1)[0]) if group and wanted[group - 1] == size else -1
        for members in itertools.combinations(free, size):
            if members[0] < after:
                continue
            labels[list(members)] = group
            yield from place(tuple(i for i in free if i not in members), group + 1, labels)
            labels[list(members)] = -1

    yield from place(tuple(range(sum(wanted))), 0, np.full(sum(wanted), -1))


def _p_value(n_extreme: int, n_seen: int, exact: bool) -> tuple[float, int]:
    if exact:
        return n_extreme / n_seen, n_seen
    return (n_extreme + 1) / (n_seen + 1), n_seen


def _check(matrix: np.ndarray, n: int | None = None) -> np.ndarray:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (n is not None and len(matrix) != n):
        raise BabelscopeError(f"a distance matrix of shape {matrix.shape}, need {n or 'n'} x {n or 'n'}")
    if len(matrix) < 3:
        raise BabelscopeError(f"{len(matrix)} languages: a test of distances needs at least three")
    off_diagonal = ~np.eye(len(matrix), dtype=bool)
    if not np.isfinite(matrix[off_diagonal]).all() or not np.allclose(matrix, matrix.T, equal_nan=True):
        raise BabelscopeError("a distance matrix must be finite and symmetric")
    return matrix


def _condense(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix, dtype=np.float64)[np.triu_indices(len(matrix), 1)]


def _pairs_within(labels: np.ndarray) -> np.ndarray:
    """Whether each pair is of one group, bool (n_assignments, n_pairs)."""
    rows, columns = np.triu_indices(labels.shape[1], 1)
    return labels[:, rows] == labels[:, columns]


def _contrast(pairs: np.ndarray, within: np.ndarray) -> np.ndarray:
    n_within = within.sum(axis=1)
    sum_within = within @ pairs
    return (pairs.sum() - sum_within) / (len(pairs) - n_within) - sum_within / n_within


def _column_space(design: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the design's; controls that repeat each other are counted once."""
    left, singular, _ = np.linalg.svd(
        design / np.maximum(np.linalg.norm(design, axis=0), 1e-300), full_matrices=False
    )
    return left[:, singular > 1e-10]


def _residual(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return values - basis @ (basis.T @ values)


def _share_left(values: np.ndarray, residual: np.ndarray) -> float:
    centred = values - values.mean()
    scale = max(float(centred @ centred), 1e-24 * float(values @ values), 1e-300)
    return float(residual @ residual) / scale


@cache
def _all_assignments(sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """``distinct_assignments`` in chunks; every test of the same objects needs the same ones."""
    return tuple(_chunks(distinct_assignments(sizes)))


def _pair_orders(permutations: np.ndarray) -> np.ndarray:
    """Where each pair of objects comes from under each permutation, (n_permutations, n_pairs)."""
    n = permutations.shape[1]
    rows, columns = np.triu_indices(n, 1)
    table = np.zeros((n, n), dtype=np.uint8 if len(rows) < 256 else np.int32)
    table[rows, columns] = table[columns, rows] = np.arange(len(rows))
    return table[permutations[:, rows], permutations[:, columns]]


@cache
def _all_pair_orders(n: int) -> np.ndarray:
    """The same for all ``n!`` permutations: 13 MB for nine objects, needed by every test of them."""
    return np.concatenate([_pair_orders(chunk) for chunk in _chunks(itertools.permutations(range(n)))])


def _chunks(assignments: Iterator[np.ndarray] | Iterator[tuple[int, ...]]) -> Iterator[np.ndarray]:
    while chunk := list(itertools.islice(assignments, _CHUNK)):
        yield np.array(chunk)


def _slices(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), _CHUNK):
        yield array[start : start + _CHUNK]
