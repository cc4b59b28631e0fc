"""Where each unit's score is largest in a batch: what hooks on neurons and on routers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from babelscope.model.load import to_device
from babelscope.recording.gpu_trials import usable
from babelscope.recording.peaks import LAST_DOCUMENT, Peaks

# Tokens whose activations of a layer are looked at together on a CPU: they stay in its cache.
_CPU_TILE = 256
# Rows of a table that grows by every batch, in multiples of those that are kept.
_UNCUT = 5
Facts = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Table:
    """As ``Best``, with one axis of units, on the device."""

    key: torch.Tensor
    position: torch.Tensor
    score: torch.Tensor

    @classmethod
    def empty(cls, n_best: int, n_units: int, device: torch.device) -> Table:
        shape = (n_best, n_units)
        return cls(
            torch.zeros(shape, dtype=torch.int64, device=device),
            torch.full(shape, -1, dtype=torch.int32, device=device),
            torch.zeros(shape, dtype=torch.float32, device=device),
        )

    def best(self, n_best: int) -> Table:
        if len(self.key) <= n_best:
            return self
        key, rows = self.key.topk(n_best, dim=0, sorted=False)
        return Table(key, self.position.gather(0, rows), self.score.gather(0, rows))

    def with_more(self, other: Table, n_best: int) -> Table:
        """The tokens of both, cut to the best only now and then: a cut takes as long as many joins."""
        joined = self.joined(other)
        return joined.best(n_best) if len(joined.key) > _UNCUT * n_best else joined

    def joined(self, other: Table) -> Table:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("key", "position", "score"))
        return Table(*(torch.cat(pair) for pair in pairs))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, position and score on the host, (n_best, n_units) each."""
        return self.key.cpu().numpy(), self.position.cpu().numpy(), self.score.cpu().numpy()

    @classmethod
    def beside(cls, tables: Sequence[Table]) -> Table:
        """Tables of other units side by side, as many tokens of each."""
        names = ("key", "position", "score")
        return cls(*(torch.cat([getattr(table, name) for table in tables], dim=1) for name in names))

    def to(self, device: torch.device) -> Table:
        return Table(self.key.to(device), self.position.to(device), self.score.to(device))


class TokenFinder(AbstractContextManager["TokenFinder"]):
    """Finds the best tokens of units, and their scores at random tokens, batch by batch.

    For each batch, in this order: ``start``, the model's pass, ``see``, and ``add`` where it counts.

    Parameters
    ----------
    device : of the tokens. before : what an earlier job found in documents before these.
    n_best : tokens per unit.
    """

    def __init__(self, device: torch.device, before: Peaks, n_best: int) -> None:
        self.device, self.before, self.n_best, self.n_random = device, before, n_best, before.n_random
        self._chosen: dict[int, tuple[int, int]] = {}  # of a segment: document to position and priority
        self._picked: list[int] = []

    def choose(self, document: np.ndarray, position: np.ndarray, priority: np.ndarray) -> None:
        """Say which random tokens are wanted, see ``random_tokens``."""
        facts = zip(position.tolist(), priority.tolist(), strict=True)
        self._chosen = dict(zip(document.tolist(), facts, strict=True))

    def start(self, counted: torch.Tensor, document: np.ndarray, n_special: int, whole: slice) -> None:
        """Say what the next batch holds.

        Parameters
        ----------
        counted : bool (n_documents, length), tokens that count.
        document : int64 (n_documents,), their numbers in the corpus.
        n_special : special tokens at the start of each row.
        whole : positions that count in every document; after them some count, before them none.
        """
        self.release()
        self._counted, self._n_special, self._whole = counted, n_special, whole
        self._document = to_device(document, counted.device)
        found = [(row, int(number)) for row, number in enumerate(document) if int(number) in self._chosen]
        self._picked = [number for _, number in found]
        length = counted.shape[1]
        flat = [row * length + n_special + self._chosen[number][0] for row, number in found]
        self._rows = to_device(np.array(flat, dtype=np.int64), counted.device)

    def picked_facts(self) -> Facts:
        """Documents, positions and priorities of the random tokens in the batch, int32, int32, int64."""
        facts = np.array([self._chosen[number] for number in self._picked], dtype=np.int64)
        return np.array(self._picked, dtype=np.int32), facts[:, 0].astype(np.int32), facts[:, 1]

    @abstractmethod
    def release(self) -> None:
        """Give what the last batch left back."""

    @abstractmethod
    def see(self) -> None:
        """Look at what the pass of the batch gave."""

    @abstractmethod
    def add(self) -> None:
        """Keep what the last batch gave."""

    @abstractmethod
    def found(self) -> Peaks:
        """The best tokens of all batches so far, on the host."""

    def take(self) -> Peaks:
        """The best tokens of all documents so far, those of ``before`` included."""
        return self.before.merged(self.found())

    def find(self, values: torch.Tensor, signed: bool) -> Table:
        """Best tokens of a batch: in each document the one of the largest magnitude.

        Parameters
        ----------
        values : (n_documents, length, n_units). signed : negative values count as 0; else by magnitude.
        """
        if values.device.type == "cuda" and usable("best tokens"):
            from babelscope.recording.document_kernels import best_by_document

            facts = (self._counted.to(values.device), self._document.to(values.device), self._n_special)
            return Table(*best_by_document(values, *facts, self.n_best, signed))
        batch = Rows(
            values, self._counted.to(values.device), self._document.to(values.device), self._whole, signed
        )  # fmt: skip
        find = find_in_tiles if values.device.type == "cpu" else find_by_maxima
        table = find(batch, self.n_best)
        none = table.key == 0
        position = torch.where(none, -1, table.position - self._n_special)
        return Table(table.key, position.int(), torch.where(none, 0.0, table.score))


@dataclass(frozen=True)
class Rows:
    """Values of one batch.

    Attributes
    ----------
    values : (n_documents, length, n_units). counted : bool (n_documents, length), tokens that count.
    document : int64 (n_documents,), their numbers. whole : positions that count in every document.
    signed : negative values count as 0; else values count by their magnitude.
    """

    values: torch.Tensor
    counted: torch.Tensor
    document: torch.Tensor
    whole: slice
    signed: bool

    def sizes(self, values: torch.Tensor) -> torch.Tensor:
        """What is compared."""
        return values.clamp_min(0.0) if self.signed else values.abs()

    def largest(self, part: slice) -> torch.Tensor:
        """The largest size in a part of each document, float32 (n_documents, n_units); 0 of no position."""
        values = self.values[:, part]
        if not values.shape[1]:
            return torch.zeros(values[:, :0].sum(dim=1).shape, device=values.device)
        if part != self.whole:
            values = values.masked_fill(~self.counted[:, part, None], 0.0)
        if self.signed:
            return values.amax(dim=1).float().clamp_min(0.0)
        # a reduction that reads half precision and makes no copy
        return torch.linalg.vector_norm(values, torch.inf, dim=1, dtype=torch.float32)


def find_in_tiles(batch: Rows, n_best: int) -> Table:
    """Some documents at a time, so that what is made of them stays in the cache of a CPU.

    Bits of a float that is not negative are ordered as it is: the lowest of them make room for the position,
    so that one maximum gives both. Of scores that differ by less the first one is taken.
    """
    counted, document = batch.counted, batch.document
    n_bits = max(1, (counted.shape[1] - 1).bit_length())
    low = (1 << n_bits) - 1
    place = low - torch.arange(counted.shape[1], dtype=torch.int32, device=counted.device)[:, None]
    step = max(1, _CPU_TILE // counted.shape[1])
    joined: Table | None = None
    for start in range(0, len(batch.values), step):
        own = batch.values[start : start + step].float()
        size = batch.sizes(own).mul_(counted[start : start + step, :, None])
        packed = size.view(torch.int32).bitwise_and_(~low).bitwise_or_(place).amax(dim=1)
        position = low - (packed & low)
        score = own.gather(1, position[:, None].long())[:, 0]
        key = make_keys(torch.abs(score), packed > low, document[start : start + step])
        part = Table(key, position, score)
        joined = part if joined is None else joined.joined(part).best(max(n_best, step))
    assert joined is not None
    return joined.best(n_best)


def find_by_maxima(batch: Rows, n_best: int) -> Table:
    """The largest values of all documents in one reduction, and their positions for the best documents alone.

    On a GPU nothing but that reduction reads all values.
    """
    values, whole = batch.values, batch.whole
    size = torch.maximum(batch.largest(whole), batch.largest(slice(max(whole.start, whole.stop), None)))
    key = make_keys(size, size > 0, batch.document)
    rows = torch.arange(len(key), device=key.device)[:, None].expand_as(key)
    if len(key) > n_best:
        key, rows = key.topk(n_best, dim=0, sorted=False)
        size = size.gather(0, rows)
    own = values.gather(0, rows[:, None].expand(-1, values.shape[1], -1)).float()
    found = (batch.sizes(own) == size[:, None]) & batch.counted[rows].transpose(1, 2)
    position = found.to(torch.uint8).argmax(dim=1)  # the first of equal ones
    return Table(key, position.int(), own.gather(1, position[:, None])[:, 0])


def make_keys(size: torch.Tensor, some: torch.Tensor, document: torch.Tensor) -> torch.Tensor:
    """As ``peaks.make_key``, of float32 (n_documents, n_units), none negative; 0 where not ``some``."""
    bits = size.contiguous().view(torch.int32).long()
    return torch.where(some, (bits << 31) | (LAST_DOCUMENT - document[:, None]), 0)
