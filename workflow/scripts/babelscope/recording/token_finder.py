"""Where each unit's score is largest in a batch: what hooks on neurons and on routers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from babelscope.model.load import to_device
from babelscope.recording.peaks import LAST_DOCUMENT, Peaks

# Tokens whose activations of a layer are looked at together: they stay in the cache of a CPU, and on a GPU
# their copies do not take much memory.
_CPU_TILE, _GPU_TILE = 256, 4096


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
    device : of the tokens. n_best : tokens per unit. n_random : random tokens of a language.
    """

    def __init__(self, device: torch.device, n_best: int, n_random: int) -> None:
        self.device, self.n_best, self.n_random = device, n_best, n_random
        self._chosen: dict[int, tuple[int, int]] = {}  # of a segment: document to position and priority
        self._picked: list[int] = []

    def choose(self, document: np.ndarray, position: np.ndarray, priority: np.ndarray) -> None:
        """Say which random tokens are wanted, see ``random_tokens``."""
        facts = zip(position.tolist(), priority.tolist(), strict=True)
        self._chosen = dict(zip(document.tolist(), facts, strict=True))

    def start(self, counted: torch.Tensor, document: np.ndarray, n_special: int) -> None:
        """Say what the next batch holds.

        Parameters
        ----------
        counted : bool (n_documents, length), tokens that count.
        document : int64 (n_documents,), their numbers in the corpus.
        n_special : special tokens at the start of each row.
        """
        self.release()
        self._counted, self._n_special = counted, n_special
        self._document = to_device(document, counted.device)
        found = [(row, int(number)) for row, number in enumerate(document) if int(number) in self._chosen]
        self._picked = [number for _, number in found]
        length = counted.shape[1]
        flat = [row * length + n_special + self._chosen[number][0] for row, number in found]
        self._rows = to_device(np.array(flat, dtype=np.int64), counted.device)

    def picked_facts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    def take(self) -> Peaks:
        """Hand the best tokens over to the host and begin again without any."""

    def find(self, values: torch.Tensor, magnitude: Callable[[torch.Tensor], torch.Tensor]) -> Table:
        """Best tokens of a batch, (n_documents, length, n_units): in each document that of largest magnitude.

        Bits of a float that is not negative are ordered as it is: the lowest of them make room for the
        position, so that one maximum gives both. Of scores that differ by less the first one is taken.
        """
        counted, document = self._counted.to(values.device), self._document.to(values.device)
        n_bits = max(1, (counted.shape[1] - 1).bit_length())
        low = (1 << n_bits) - 1
        place = low - torch.arange(counted.shape[1], dtype=torch.int32, device=values.device)[:, None]
        tile = _CPU_TILE if values.device.type == "cpu" else _GPU_TILE
        step = max(1, tile // counted.shape[1])
        parts = []
        for start in range(0, len(values), step):
            own = values[start : start + step].float()
            size = magnitude(own).mul_(counted[start : start + step, :, None])
            packed = size.view(torch.int32).bitwise_and_(~low).bitwise_or_(place).amax(dim=1)
            position = low - (packed & low)
            score = own.gather(1, position[:, None].long())[:, 0]
            some = packed > low
            bits = torch.abs(score).view(torch.int32).long()
            key = (bits << 31) | (LAST_DOCUMENT - document[start : start + step, None])
            parts.append(Table(torch.where(some, key, 0), position - self._n_special, score))
        joined = parts[0]
        for part in parts[1:]:
            joined = joined.joined(part).best(max(self.n_best, step))
        return joined.best(self.n_best)
