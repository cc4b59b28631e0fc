"""Checks rows and brings them into the form that the solvers work on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from babelscope.study.errors import BabelscopeError

_BLOCK_ROWS = 1024
_KEY_COLUMNS = 4


@dataclass(frozen=True)
class PreparedRows:
    """Rows in canonical order, centred and scaled.

    Attributes
    ----------
    points : float32 (n_neurons + 1, n_dims), mean zero, largest absolute value at most 2; the last row is
        zero and stands for an empty place of an expert.
    order : int64 (n_neurons,), ``points[k]`` is row ``order[k]`` of the input.
    scale : power of two that the rows were divided by, so that no square overflows or vanishes.
    normalized : whether each row was divided by its norm.
    """

    points: np.ndarray
    order: np.ndarray
    scale: float
    normalized: bool

    @property
    def n_neurons(self) -> int:
        """Rows of the input; ``points`` has one more."""
        return len(self.order)


def check_rows(rows: np.ndarray, n_experts: int) -> np.ndarray:
    """Return ``rows`` as float32 (n_neurons, n_dims).

    Parameters
    ----------
    rows : real numbers of any type, finite. n_experts : that they shall be cut into.

    Raises
    ------
    BabelscopeError
        For another shape, a type that is not a number, NaN or infinite values, or a number of experts that
        is not an integer from 1 to n_neurons.
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or 0 in rows.shape:
        raise BabelscopeError(f"rows of shape {rows.shape}: need (n_neurons, n_dims), neither of them 0")
    if rows.dtype.kind not in "fiu":
        raise BabelscopeError(f"rows of type {rows.dtype}: need real numbers")
    check_n_experts(n_experts, len(rows))
    with np.errstate(over="ignore"):
        rows = rows.astype(np.float32, copy=False)
    for start in range(0, len(rows), _BLOCK_ROWS):
        finite = np.isfinite(rows[start : start + _BLOCK_ROWS])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value = rows[start + row, column]
            raise BabelscopeError(
                f"row {start + row}, column {column} is {value}: rows must be finite; the weights are damaged"
            )
    return rows


def check_n_experts(n_experts: int, n_neurons: int) -> None:
    """Refuse a number of experts that so many neurons cannot be cut into.

    Raises
    ------
    BabelscopeError
        Unless it is an integer from 1 to n_neurons.
    """
    if isinstance(n_experts, bool) or not isinstance(n_experts, (int, np.integer)):
        raise BabelscopeError(f"n_experts {n_experts!r}: need an integer")
    if not 1 <= n_experts <= n_neurons:
        raise BabelscopeError(f"n_experts {n_experts}: need 1 to {n_neurons}, the number of neurons")


def prepare_rows(rows: np.ndarray, normalize_rows: bool) -> PreparedRows:
    """Sort, normalise where asked, centre and scale checked rows.

    The order follows from the content of the rows alone, so that whatever is computed from the sorted rows
    does not depend on the order in which they came. The sum of squared errors of a partition does not change
    when rows are centred; without it float32 would lose digits where the mean is large.

    Parameters
    ----------
    rows : float32 (n_neurons, n_dims), as ``check_rows`` returns them.
    normalize_rows : divide each row by its Euclidean norm; a zero row stays zero.
    """
    order = canonical_order(rows)
    n_neurons, n_dims = rows.shape
    largest = max(float(rows.max()), -float(rows.min()))
    scale = float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0
    points = np.zeros((n_neurons + 1, n_dims), dtype=np.float32)
    total = np.zeros(n_dims)
    for start in range(0, n_neurons, _BLOCK_ROWS):
        block = rows[order[start : start + _BLOCK_ROWS]] * np.float32(1 / scale)
        if normalize_rows:
            norms = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))[:, None]
            block /= np.where(norms > 0, norms, 1)
        points[start : start + len(block)] = block
        total += block.sum(axis=0)
    points[:n_neurons] -= (total / n_neurons).astype(np.float32)
    return PreparedRows(points, order, 1.0 if normalize_rows else scale, normalize_rows)


def canonical_order(rows: np.ndarray) -> np.ndarray:
    """Return the int64 (n_neurons,) permutation that sorts rows by content; equal rows keep their order."""
    order = np.lexsort(rows[:, :_KEY_COLUMNS].T[::-1])
    keys = rows[order, :_KEY_COLUMNS]
    new_key = np.ones(len(rows) + 1, dtype=bool)
    new_key[1:-1] = (keys[1:] != keys[:-1]).any(axis=1)
    bounds = np.flatnonzero(new_key)
    for start, stop in itertools.pairwise(bounds):
        if stop - start > 1:
            # adding zero makes -0.0 and 0.0 the same bytes
            tied = sorted(order[start:stop], key=lambda row: (rows[row] + np.float32(0)).tobytes())
            order[start:stop] = tied
    return order


def check_labels(labels: np.ndarray, n_neurons: int, n_experts: int | None = None) -> np.ndarray:
    """Return ``labels`` as an array.

    Raises
    ------
    BabelscopeError
        Unless they are ``n_neurons`` integers from 0 (and below ``n_experts``, where that is given).
    """
    labels = np.asarray(labels)
    if labels.shape != (n_neurons,) or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise BabelscopeError(
            f"labels of shape {labels.shape} and type {labels.dtype}: need {n_neurons} integers from 0"
        )
    if n_experts is not None and labels.max() >= n_experts:
        raise BabelscopeError(
            f"label {labels.max()}: need 0 to {n_experts - 1}, the number of experts is {n_experts}"
        )
    return labels


def partition_sse(rows: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances of rows to the mean of their expert, in float64.

    Parameters
    ----------
    rows : (n_neurons, n_dims).
    labels : integer (n_neurons,), any non-negative numbers.

    Raises
    ------
    BabelscopeError
        Where the lengths differ or a label is negative.
    """
    labels = check_labels(labels, len(rows))
    order = np.argsort(labels, kind="stable")
    total = 0.0
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        block = rows[members].astype(np.float64)
        block -= block.mean(axis=0)
        total += float(np.einsum("ij,ij->", block, block))
    return total
