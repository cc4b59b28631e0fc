"""Second moments of a layer's activations, and the ridge problem of any choice of neurons out of them.

One Gram matrix per layer serves every selector and every size: which columns are kept only says which of its
rows and columns are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from babelscope.pruning.blocks import CaughtBatch
from babelscope.pruning.walk import LayerWalk

# Columns of a Gram matrix that are computed at a time; the triangle above them is left out.
_TILE = 512
# Tokens whose products are added to a Gram matrix at once: adding to it costs as much as some hundred tokens.
_TOKENS = 1024


@dataclass
class Moments:
    """Sums over tokens of one layer's activations h.

    Attributes
    ----------
    gram : float64 (d_ff, d_ff), sum of ``h h'``.
    total : float64 (d_ff,), sum of ``h``.
    n_tokens : tokens.
    said : float64 (d_ff, d_model), sum of ``h y'`` with the dense model's output y; None: y is what the
        layer itself says.
    said_squared : float64 (), sum of ``|y|^2``.
    """

    gram: torch.Tensor
    total: torch.Tensor
    n_tokens: int = 0
    said: torch.Tensor | None = None
    said_squared: torch.Tensor | None = None

    @classmethod
    def zeros(cls, d_ff: int, device: torch.device | str = "cpu") -> Moments:
        """Of no token."""
        gram = torch.zeros((d_ff, d_ff), dtype=torch.float64, device=device)
        return cls(gram, torch.zeros(d_ff, dtype=torch.float64, device=device))

    @staticmethod
    def tiles(rows: torch.Tensor, half: bool = False) -> list[torch.Tensor]:
        """What tokens, float32 (n_tokens, d_ff), add to the Gram matrix on and below its diagonal.

        ``half``: they come from a model that computes with 8 or 11 bits. A GPU's products of them in TF32,
        with 11 bits and sums in float32, are several times as fast; what is rounded off differs from token to
        token and averages out.
        """
        starts = range(0, rows.shape[1], _TILE)
        with _products_in_tf32() if half and rows.is_cuda else nullcontext():
            return [rows[:, start : start + _TILE].T @ rows[:, : start + _TILE] for start in starts]

    def add(
        self, rows: torch.Tensor, tiles: Sequence[torch.Tensor], said: torch.Tensor | None = None
    ) -> None:
        """Add tokens and their ``tiles``, made before: what runs out of memory then has added nothing.

        ``said``, float32 (n_tokens, d_model), is the dense model's output for the same tokens.
        """
        if said is not None:
            product, squared = (rows.T @ said).double(), said.double().square().sum()
            self.said = product if self.said is None else self.said + product
            self.said_squared = squared if self.said_squared is None else self.said_squared + squared
        for number, tile in enumerate(tiles):
            start = number * _TILE
            self.gram[start : start + _TILE, : tile.shape[1]] += tile
        self.total += rows.sum(dim=0, dtype=torch.float64)
        self.n_tokens += len(rows)

    def mirror(self) -> None:
        """Complete the Gram matrix above its diagonal, after the last tokens."""
        for start in range(0, len(self.gram), _TILE):
            self.gram[:start, start : start + _TILE] = self.gram[start : start + _TILE, :start].T

    def __add__(self, other: Moments) -> Moments:
        """The moments of the tokens of both."""
        n_tokens = self.n_tokens + other.n_tokens
        found = Moments(self.gram + other.gram, self.total + other.total, n_tokens)
        for name in ("said", "said_squared"):
            one, two = getattr(self, name), getattr(other, name)
            setattr(found, name, None if one is None or two is None else one + two)
        return found

    def __rmul__(self, weight: float) -> Moments:
        """The moments of tokens that count ``weight`` times; their number stays."""
        scaled = (part if part is None else weight * part for part in (self.said, self.said_squared))
        return Moments(weight * self.gram, weight * self.total, self.n_tokens, *scaled)

    def to(self, device: torch.device | str) -> Moments:
        """The same on a device."""
        moved = (part if part is None else part.to(device) for part in (self.said, self.said_squared))
        return Moments(self.gram.to(device), self.total.to(device), self.n_tokens, *moved)


@dataclass
class LayerMoments:
    """Moments of one layer: of the documents that columns are fitted to, and of those for validation.

    ``pooled`` are those of documents of other languages, None where there are none.
    """

    fit: Moments
    validation: Moments
    pooled: Moments | None = None

    @property
    def whole(self) -> Moments:
        """Of all documents of the language itself."""
        return self.fit + self.validation

    def weighted(self, weight: float) -> Moments:
        """Of all documents, a token of another language counting as ``weight`` of an own one."""
        return self.whole if self.pooled is None else self.whole + weight * self.pooled

    def to(self, device: torch.device | str) -> LayerMoments:
        """The same on a device."""
        pooled = None if self.pooled is None else self.pooled.to(device)
        return LayerMoments(self.fit.to(device), self.validation.to(device), pooled)


@dataclass(frozen=True)
class MomentSettings:
    """Which tokens count, and how much.

    Attributes
    ----------
    first_token : whether the token that is put before each document counts. Its activations are the same in
        every document and in some layers hundreds of times as large as others; attention relies on them.
    relative : whether every token counts by the inverse square of what the layer says about it, so that its
        relative error counts: normalisation comes next in many families, and outputs differ by orders of
        magnitude.
    """

    first_token: bool = False
    relative: bool = False


@contextmanager
def _products_in_tf32() -> Iterator[None]:
    """Within, a GPU's products of float32 matrices may take TF32, unless torch was told otherwise."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by torch's newer settings, which do not mix with this one
        yield
        return
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass
class _Gathered:
    """Moments, and tokens that wait until they are enough: float32 (n, d_ff) and, said, (n, d_model).

    ``half`` : whether they come from a model in half precision.
    """

    moments: Moments
    rows: torch.Tensor
    half: bool
    said: torch.Tensor | None = None

    def with_more(self, rows: torch.Tensor, said: torch.Tensor | None) -> Callable[[], None]:
        """Work out what these tokens add; what is returned adds it, and needs no memory to speak of."""
        if len(self.rows):
            rows = torch.cat([self.rows, rows])
            said = said if said is None or self.said is None else torch.cat([self.said, said])
        if len(rows) < _TOKENS:
            return lambda: self._wait(rows, said)
        tiles = Moments.tiles(rows, self.half)

        def add() -> None:
            self.moments.add(rows, tiles, said)
            self._wait(rows.new_empty((0, rows.shape[1])), None)  # a view would keep them all

        return add

    def finish(self) -> None:
        """Add the last tokens."""
        self.moments.add(self.rows, Moments.tiles(self.rows, self.half), self.said)
        self.moments.mirror()

    def _wait(self, rows: torch.Tensor, said: torch.Tensor | None) -> None:
        self.rows, self.said = rows, said


def gather_moments(walk: LayerWalk, settings: MomentSettings = MomentSettings()) -> LayerMoments:
    """Moments of the layer that is next on a walk, where its down projection lies.

    Where the walk has ``listen``ed, they hold the dense model's output as well.
    """
    down = walk.layer.down.weight
    d_ff = down.shape[1]
    none = torch.empty((0, d_ff), dtype=torch.float32, device=down.device)
    half = down.element_size() < 4
    parts = [_Gathered(Moments.zeros(d_ff, down.device), none, half) for _ in range(walk.n_parts)]

    def see(batch: CaughtBatch, activations: torch.Tensor) -> None:
        new = []
        for number, part in enumerate(parts):
            real = torch.from_numpy(batch.real & (batch.part == number)[:, None])
            taken = activations[real.to(activations.device)].to(down.device)
            rows = taken.float()
            said = None if batch.said is None else batch.said[real].float().to(down.device)
            if settings.relative:
                # in the model's own type, as the layer itself says it
                output = taken.to(down.dtype) @ down.T if said is None else said
                scale = 1 / torch.linalg.vector_norm(
                    output, dim=1, keepdim=True, dtype=torch.float32
                ).clamp_min(1e-6)
                del taken, output  # the products below need the room
                rows, said = rows.mul_(scale), None if said is None else said.mul_(scale)
            new.append(part.with_more(rows, said))
        for add in new:
            add()

    walk.look(see)
    for part in parts:
        part.finish()
    return LayerMoments(*(part.moments for part in parts))


def penalties(gram: torch.Tensor) -> torch.Tensor:
    """Penalty of every column, float64 (n,): the geometric mean of its own and the mean second moment.

    Between ridge on raw activations (GRAIL) and on standardised ones, and better than either. A neuron that
    never fires has no moment of its own and gets a millionth of the mean.
    """
    own = gram.diagonal()
    mean = own.mean().clamp_min(1e-30)
    return (own.clamp_min(1e-6 * mean) * mean).sqrt()


@dataclass(frozen=True)
class RidgeProblem:
    """The least-squares problem of one choice of neurons.

    Attributes
    ----------
    parts : moments, and how often their tokens count; what waits holds no Gram matrix of its own.
    idx : int64 (n_kept,), neurons that are kept.
    target : float64 (n_kept, d_model), moments of the kept activations with the output that removal loses.
    lost : float64 (), sum of squares of that output.
    """

    parts: tuple[tuple[float, Moments], ...]
    idx: torch.Tensor
    target: torch.Tensor
    lost: torch.Tensor

    @classmethod
    def of(cls, moments: Moments, kept: np.ndarray, weight: torch.Tensor) -> RidgeProblem:
        """Of the neurons ``kept``, int64 (n_kept,), and a down projection (d_model, d_ff)."""
        idx = torch.from_numpy(np.asarray(kept, dtype=np.int64)).to(moments.gram.device)
        gone = torch.ones(len(moments.gram), dtype=torch.bool, device=idx.device).index_fill(0, idx, False)
        if moments.said is not None and moments.said_squared is not None:
            kept_gram, own = moments.gram[idx][:, idx], weight.to(idx.device)[:, idx].double().T
            said, explained = moments.said[idx], kept_gram @ own
            lost = moments.said_squared - (own * (2 * said - explained)).sum()
            return cls(((1.0, moments),), idx, said - explained, lost)
        columns = weight.to(idx.device)[:, gone].double().T  # (n_removed, d_model)
        rows = moments.gram[gone]  # (n_removed, d_ff)
        lost = (columns * (rows[:, gone] @ columns)).sum()
        return cls(((1.0, moments),), idx, rows[:, idx].T @ columns, lost)

    def __rmul__(self, weight: float) -> RidgeProblem:
        """The problem of tokens that count ``weight`` times."""
        parts = tuple((weight * share, moments) for share, moments in self.parts)
        return RidgeProblem(parts, self.idx, weight * self.target, weight * self.lost)

    def __add__(self, other: RidgeProblem) -> RidgeProblem:
        """The problem of the tokens of both, for the same neurons."""
        parts = self.parts + other.parts
        return RidgeProblem(parts, self.idx, self.target + other.target, self.lost + other.lost)

    @property
    def gram(self) -> torch.Tensor:
        """Moments of the kept activations, float64 (n_kept, n_kept); each access computes it."""
        found = self.target.new_empty((len(self.idx), len(self.idx)))
        for rows, tile in self._tiles():
            found[rows] = tile
        return found

    def _tiles(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """The Gram matrix, some rows at a time."""
        for start in range(0, len(self.idx), _TILE):
            rows = slice(start, start + _TILE)
            tile = self.target.new_zeros((len(self.idx[rows]), len(self.idx)))
            for share, moments in self.parts:
                kept = moments.gram.index_select(0, self.idx[rows]).index_select(1, self.idx)
                tile.add_(kept, alpha=share)
            yield rows, tile

    def solve(self, ridge: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Corrections of the kept columns, (n_kept, d_model).

        With ``dtype`` float32 in half the time, which suffices to compare ridges; the matrix is factored in
        float64.
        """
        ridged = self.gram
        ridged.diagonal().add_(ridge * penalties(ridged))
        root = torch.linalg.cholesky(ridged)
        del ridged  # the solver copies the root
        return torch.cholesky_solve(self.target.to(dtype), root.to(dtype))

    def unexplained(self, correction: torch.Tensor) -> float:
        """Squared error of the output with this correction, relative to plain removal."""
        explained = 2 * (correction * self.target).sum()
        for rows, tile in self._tiles():
            product = tile.to(correction.dtype) @ correction
            explained -= (correction[rows] * product).sum(dtype=torch.float64)
        return float(1 - explained / self.lost.clamp_min(1e-30))
