"""Hooks on a model that find where each unit's score is largest while it runs; no activation is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from babelscope.recording.peaks import Best, Peaks, Sample
from babelscope.recording.scores import select_active
from babelscope.recording.tap import ExpertTap
from babelscope.recording.token_finder import Facts, Table, TokenFinder


class PeakTap(TokenFinder):
    """Context in which a forward pass also finds the best tokens of experts and neurons.

    Parameters
    ----------
    tap : of the z-scores, whose first partition has the experts.
    before, n_best : see ``TokenFinder``. top_k : experts active for a token.
    """

    def __init__(self, tap: ExpertTap, before: Peaks, n_best: int, top_k: int) -> None:
        super().__init__(tap.device, before, n_best)
        self.tap, self.layers, self.top_k = tap, tap.layers, top_k
        self.n_experts = tap.partitions[0].n_experts
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        n_cells = len(self.layers) * self.n_experts
        self.experts = Table.empty(n_best, n_cells, self.device)
        self.neurons = [Table.empty(n_best, layer.d_ff, self.device) for layer in self.layers]
        # z-scores, active experts and activations of random tokens, on the device until they are asked for
        self._samples: list[tuple[Facts, tuple[torch.Tensor, ...]]] = []
        self._sample = Sample.empty(len(self.layers), self.n_experts, self.layers[0].d_ff)
        self.release()

    def __enter__(self) -> PeakTap:
        for number, layer in enumerate(self.layers):
            self._hooks.append(layer.down.register_forward_pre_hook(self._before_down(number)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def release(self) -> None:
        """Give what the last batch left back."""
        self._new_neurons: dict[int, Table] = {}
        self._new_activation: dict[int, torch.Tensor] = {}
        self._new_experts: Table | None = None
        self._new_z: torch.Tensor | None = None

    def _before_down(self, number: int) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            values = args[0].reshape(*self._counted.shape, args[0].shape[-1])
            self._new_neurons[number] = self.find(values, signed=False).to(self.device)
            if len(self._rows):
                rows = values.flatten(0, 1).index_select(0, self._rows.to(values.device))
                self._new_activation[number] = rows.float().to(self.device)

        return before_down

    def see(self) -> None:
        """Look at the z-scores of the batch."""
        z = self.tap.z[0]  # (token, layer, expert)
        values = z.flatten(1).unflatten(0, tuple(self._counted.shape))
        self._new_experts = self.find(values, signed=True)
        if len(self._rows):
            self._new_z = z.flatten(1).index_select(0, self._rows.to(z.device))

    def add(self) -> None:
        """Keep what the last batch gave."""
        if self._new_experts is None:
            return
        self.experts = self.experts.with_more(self._new_experts, self.n_best)
        for number, new in self._new_neurons.items():
            self.neurons[number] = self.neurons[number].with_more(new, self.n_best)
        if self._new_z is not None:
            activation = torch.stack([self._new_activation[n] for n in range(len(self.layers))], dim=1)
            active = select_active(self._new_z, self.top_k)
            self._samples.append((self.picked_facts(), (self._new_z, active, activation)))
        self.release()

    def found(self) -> Peaks:
        """The best tokens of all batches so far, on the host."""
        # neurons back in the model's order: each place of a layer holds one of them
        back = [torch.argsort(order.cpu()).numpy() for order in self.tap.orders]
        shape = (-1, len(self.layers), self.n_experts)
        tables = [table.best(self.n_best).arrays() for table in self.neurons]
        columns = [
            [array[:, b] for array, b in zip(arrays, back, strict=True)]
            for arrays in zip(*tables, strict=True)
        ]
        neuron = Best(*(np.stack(column, axis=1) for column in columns))
        expert = Best(*(array.reshape(shape) for array in self.experts.best(self.n_best).arrays()))
        for facts, scores in self._samples:
            z, active, activation = (tensor.cpu().numpy() for tensor in scores)
            rows = [activation[:, number, b] for number, b in enumerate(back)]
            new = Sample(*facts, z.reshape(shape), active.reshape(shape).astype(bool), np.stack(rows, axis=1))
            self._sample = self._sample.merged(new, self.n_random)
        self._samples.clear()
        return Peaks(expert, neuron, self._sample, self.n_random)
