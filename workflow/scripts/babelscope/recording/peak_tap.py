"""Hooks on a model that find where each unit's score is largest while it runs; no activation is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel, to_device
from babelscope.recording.peaks import LAST_DOCUMENT, Best, Peaks, Sample
from babelscope.recording.scores import select_active

# Tokens whose activations of a layer are looked at together: they stay in the cache of a CPU, and on a GPU
# their copies do not take much memory.
_CPU_TILE, _GPU_TILE = 256, 4096


@dataclass
class _Table:
    """As ``Best``, with one axis of units, on the device."""

    key: torch.Tensor
    position: torch.Tensor
    score: torch.Tensor

    @classmethod
    def empty(cls, n_best: int, n_units: int, device: torch.device) -> _Table:
        shape = (n_best, n_units)
        return cls(
            torch.zeros(shape, dtype=torch.int64, device=device),
            torch.full(shape, -1, dtype=torch.int32, device=device),
            torch.zeros(shape, dtype=torch.float32, device=device),
        )

    def best(self, n_best: int) -> _Table:
        if len(self.key) <= n_best:
            return self
        key, rows = self.key.topk(n_best, dim=0, sorted=False)
        return _Table(key, self.position.gather(0, rows), self.score.gather(0, rows))

    def joined(self, other: _Table) -> _Table:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("key", "position", "score"))
        return _Table(*(torch.cat(pair) for pair in pairs))

    def to(self, device: torch.device) -> _Table:
        return _Table(self.key.to(device), self.position.to(device), self.score.to(device))


class PeakTap:
    """Context in which a forward pass also finds the best tokens of experts and neurons.

    Parameters
    ----------
    model : the model that runs. n_best : tokens per unit. n_random : random tokens of a language.
    n_experts : of a layer. top_k : experts active for a token.
    """

    def __init__(self, model: StudyModel, n_best: int, n_random: int, n_experts: int, top_k: int) -> None:
        self.layers, self.device = model.layers, model.device
        self.n_best, self.n_random, self.n_experts, self.top_k = n_best, n_random, n_experts, top_k
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._chosen: dict[int, tuple[int, int]] = {}  # of a segment: document to position and priority
        self._forget()
        self.release()

    def _forget(self) -> None:
        n_cells = len(self.layers) * self.n_experts
        self.experts = _Table.empty(self.n_best, n_cells, self.device)
        self.neurons = [_Table.empty(self.n_best, layer.d_ff, self.device) for layer in self.layers]
        self._samples: list[tuple[np.ndarray, ...]] = []

    def __enter__(self) -> PeakTap:
        for number, layer in enumerate(self.layers):
            self._hooks.append(layer.down.register_forward_pre_hook(self._before_down(number)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

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

    def release(self) -> None:
        """Give what the last batch left back."""
        self._new_neurons: dict[int, _Table] = {}
        self._new_activation: dict[int, torch.Tensor] = {}
        self._new_experts: _Table | None = None
        self._new_z: torch.Tensor | None = None

    def _before_down(self, number: int) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            values = args[0].reshape(*self._counted.shape, args[0].shape[-1])
            self._new_neurons[number] = self._find(values, torch.abs).to(self.device)
            if len(self._rows):
                rows = values.flatten(0, 1).index_select(0, self._rows.to(values.device))
                self._new_activation[number] = rows.float().to(self.device)

        return before_down

    def see(self, z: torch.Tensor) -> None:
        """Look at the z-scores of the batch, float32 (n_documents * length, n_layers, n_experts)."""
        values = z.flatten(1).unflatten(0, tuple(self._counted.shape))
        self._new_experts = self._find(values, lambda tile: tile.clamp_min(0.0))
        if len(self._rows):
            self._new_z = z.flatten(1).index_select(0, self._rows.to(z.device))

    def _find(self, values: torch.Tensor, magnitude: Callable[[torch.Tensor], torch.Tensor]) -> _Table:
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
            parts.append(_Table(torch.where(some, key, 0), position - self._n_special, score))
        joined = parts[0]
        for part in parts[1:]:
            joined = joined.joined(part).best(max(self.n_best, step))
        return joined.best(self.n_best)

    def add(self) -> None:
        """Keep what the last batch gave."""
        if self._new_experts is None:
            return
        self.experts = self.experts.joined(self._new_experts).best(self.n_best)
        for number, new in self._new_neurons.items():
            self.neurons[number] = self.neurons[number].joined(new).best(self.n_best)
        if self._new_z is not None:
            activation = torch.stack([self._new_activation[n] for n in range(len(self.layers))], dim=1)
            active = select_active(self._new_z, self.top_k)
            facts = np.array([self._chosen[number] for number in self._picked], dtype=np.int64)
            scores = [tensor.cpu().numpy() for tensor in (self._new_z, active, activation)]
            self._samples.append((np.array(self._picked), *facts.T, *scores))
        self.release()

    def take(self, orders: Sequence[torch.Tensor]) -> Peaks:
        """Hand the best tokens over to the host and begin again without any.

        Parameters
        ----------
        orders : for each layer int64 (d_ff,), which neuron of the model each place holds.
        """
        back = [torch.argsort(order.cpu()).numpy() for order in orders]
        shape = (-1, len(self.layers), self.n_experts)
        columns = [
            [getattr(t, name).cpu().numpy()[:, b] for t, b in zip(self.neurons, back, strict=True)]
            for name in ("key", "position", "score")
        ]
        neuron = Best(*(np.stack(column, axis=1) for column in columns))
        expert = Best(
            *(
                getattr(self.experts, name).cpu().numpy().reshape(shape)
                for name in ("key", "position", "score")
            )
        )
        sample = Sample.empty(len(self.layers), self.n_experts, self.layers[0].d_ff)
        for document, position, priority, z, active, activation in self._samples:
            ordered = np.stack([activation[:, n, b] for n, b in enumerate(back)], axis=1)
            new = Sample(
                document.astype(np.int32), position.astype(np.int32), priority,
                z.reshape(shape), active.reshape(shape).astype(bool), ordered,
            )  # fmt: skip
            sample = sample.merged(new, self.n_random)
        self._forget()
        return Peaks(expert, neuron, sample, self.n_random)
