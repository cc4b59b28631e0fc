"""Inner products of rows: from one stored Gram matrix where it fits, otherwise computed when asked for."""

from __future__ import annotations

from dataclasses import dataclass

from babelscope.experts.clustering.backend import Array, Backend


@dataclass(frozen=True)
class StoredGram:
    """All inner products of ``points``, float32 (n_points, n_points)."""

    table: Array
    is_stored = True

    def of_pairs(self, left: Array, right: Array) -> Array:
        """Return ``x_left . x_right`` for index arrays of one shape."""
        return self.table.take(left * len(self.table) + right)

    def of_rows(self, rows: Array) -> Array:
        """Return the inner products of ``rows`` with all points, (n_rows, n_points)."""
        return self.table[rows]

    def of_differences(self, plus: Array, minus: Array) -> Array:
        """Return the inner products of ``x_plus - x_minus`` with all points, (n_differences, n_points)."""
        return self.table[plus] - self.table[minus]


@dataclass(frozen=True)
class ComputedGram:
    """The same methods as ``StoredGram``, without the table: for many rows it would not fit."""

    points: Array
    backend: Backend
    is_stored = False

    def of_pairs(self, left: Array, right: Array) -> Array:
        shape = left.shape
        left, right = left.reshape(-1), right.reshape(-1)
        n_block = max(1, self.backend.block_elements // self.points.shape[1])
        starts = range(0, len(left), n_block)

        def dot(start: int) -> Array:
            block = slice(start, start + n_block)
            return (self.points[left[block]] * self.points[right[block]]).sum(1)

        return self.backend.xp.concatenate(self.backend.map(dot, starts)).reshape(shape)

    def of_rows(self, rows: Array) -> Array:
        # Called from within a thread for each block: no tiles, which would wait for the same threads.
        return self.backend.matmul_nt_in_thread(self.points[rows], self.points)

    def of_differences(self, plus: Array, minus: Array) -> Array:
        return self.backend.matmul_nt(self.points[plus] - self.points[minus], self.points)


Gram = StoredGram | ComputedGram


def make_gram(points: Array, backend: Backend) -> Gram:
    """Inner products of points, stored where the matrix takes at most ``backend.gram_bytes``.

    Parameters
    ----------
    points : float32 (n_points, n_dims), on the device of ``backend``.
    """
    if 4 * len(points) ** 2 <= backend.gram_bytes:
        return StoredGram(backend.gram(points))
    return ComputedGram(points, backend)
