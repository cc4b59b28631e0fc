"""Hooks on a model that add up what every neuron does while it runs; no activation is kept.

The sign of the gate is that of the activation function's input: the output of the gate projection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel
from babelscope.recording.gpu_trials import usable
from babelscope.recording.neurons import MOMENTS, NeuronTotals

# Tokens whose activations of a layer stay in the cache of a CPU from the first sum to the last.
_CPU_TILE = 256
# Fractions are added without rounding up to 2**13 times; then they are carried over.
_ADDITIONS = 2**12
# Added and taken away again it leaves a fraction as a multiple of 2**-40: 1.5 * 2**(52 - 40).
_GRID = 6144.0


class NeuronTap:
    """Context in which a forward pass also adds up the activations of every neuron, by block of documents.

    Parameters
    ----------
    model : the model that runs; the sums are put where its token ids lie.
    n_blocks : blocks that documents may belong to.

    Attributes
    ----------
    positive : of the last batch, by layer, float32 (n_blocks, d_ff): tokens with a positive gate.
    moments : of the last batch, by layer, float32 (3, n_blocks, d_ff), in the order of ``MOMENTS``.
    """

    def __init__(self, model: StudyModel, n_blocks: int) -> None:
        self.layers, self.n_blocks, self.device = model.layers, n_blocks, model.device
        self.positive: dict[int, torch.Tensor] = {}
        self.moments: dict[int, torch.Tensor] = {}
        self._counted = self._own = torch.zeros(0)
        self._scratch = [torch.zeros(0), torch.zeros(0)]
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> NeuronTap:
        for number, layer in enumerate(self.layers):
            gate = layer.up if layer.fused_gate else layer.gate
            self._hooks.append(layer.down.register_forward_pre_hook(self._before_down(number, gate is None)))
            if gate is not None:
                self._hooks.append(gate.register_forward_hook(self._after_gate(number, layer.d_ff)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def start(self, counted: torch.Tensor, block: torch.Tensor) -> None:
        """Say what the next batch holds.

        Parameters
        ----------
        counted : bool (n_documents, length), tokens that count.
        block : int64 (n_documents,), block of each document.
        """
        self._counted = counted
        self._own = (block == torch.arange(self.n_blocks, device=block.device)[:, None]).float()
        self.release()

    def release(self) -> None:
        """Give the sums of the last batch back."""
        self.positive.clear()
        self.moments.clear()

    def n_tokens(self) -> torch.Tensor:
        """Tokens of each block in the batch, float32 (n_blocks,)."""
        return self._own @ self._counted.sum(dim=1).float()

    def _before_down(self, number: int, ungated: bool) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self.moments[number] = self._by_block(self._sum(args[0], self._moments_of, len(MOMENTS)))
            if ungated:
                self.positive[number] = self._by_block(self._sum(args[0], self._signs_of, 1))[0]

        return before_down

    def _after_gate(self, number: int, d_ff: int) -> Callable[..., None]:
        def after_gate(_module: nn.Module, _args: object, output: torch.Tensor) -> None:
            self.positive[number] = self._by_block(self._sum(output[..., :d_ff], self._signs_of, 1))[0]

        return after_gate

    def _by_block(self, sums: torch.Tensor) -> torch.Tensor:
        """From (sum, document, neuron) to (sum, block, neuron)."""
        return (self._own.to(sums.device) @ sums).to(self.device)

    def _sum(self, values: torch.Tensor, summands: Callable, n_sums: int) -> torch.Tensor:
        """Sums over the counted tokens of each document, float32 (n_sums, n_documents, d_ff)."""
        counted = self._counted.to(values.device)
        values = values.reshape(*counted.shape, values.shape[-1])
        if values.device.type == "cuda" and usable("sums"):
            from babelscope.recording.document_kernels import sum_by_document

            return sum_by_document(values, counted, signs=n_sums == 1)
        if values.device.type != "cpu":
            return _sum_in_passes(values, counted, n_sums)
        out = torch.empty((n_sums, len(values), values.shape[-1]))
        weights = counted[:, None].float()  # (document, 1, token)
        step = max(1, _CPU_TILE // counted.shape[1])
        for start in range(0, len(values), step):
            tile = slice(start, start + step)
            for number, rows in summands(values[tile]):
                torch.bmm(weights[tile], rows, out=out[number, tile].unsqueeze(1))
        return out

    def _moments_of(self, tile: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """What each of ``MOMENTS`` adds up, one after the other in the same memory."""
        if tile.dtype != torch.float32:
            tile = self._like(tile, 0).copy_(tile)
        yield 0, tile
        magnitudes = torch.abs(tile, out=self._like(tile, 1))
        yield 2, magnitudes
        yield 1, magnitudes.square_()

    def _signs_of(self, tile: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        yield 0, torch.gt(tile, 0, out=self._like(tile, 1))

    def _like(self, tile: torch.Tensor, number: int) -> torch.Tensor:
        """Memory for a float32 tensor of this shape."""
        if self._scratch[number].numel() < tile.numel():
            self._scratch[number] = torch.empty(tile.numel())
        return self._scratch[number][: tile.numel()].view(tile.shape)


def _sum_in_passes(values: torch.Tensor, counted: torch.Tensor, n_sums: int) -> torch.Tensor:
    """As ``NeuronTap._sum``, in reductions that read half precision and add in float32."""
    if n_sums == 1:
        positive = (values > 0) & counted[:, :, None]
        return positive.sum(dim=1, dtype=torch.int32).float()[None]
    kept = values.masked_fill(~counted[:, :, None], 0.0)
    norms = [torch.linalg.vector_norm(kept, order, dim=1, dtype=torch.float32) for order in (2, 1)]
    return torch.stack([kept.sum(dim=1, dtype=torch.float32), norms[0].square(), norms[1]])


class NeuronSums:
    """Totals of a tap's batches on the device, see ``NeuronTotals``.

    Parameters
    ----------
    tap : whose sums are added.
    """

    def __init__(self, tap: NeuronTap) -> None:
        self.tap, device = tap, tap.device
        n_layers, n_blocks, d_ff = len(tap.layers), tap.n_blocks, tap.layers[0].d_ff
        self.n_tokens = torch.zeros(n_blocks, dtype=torch.int64, device=device)
        self.n_positive = torch.zeros((n_layers, n_blocks, d_ff), dtype=torch.int64, device=device)
        shape = (n_layers, len(MOMENTS), n_blocks, d_ff)
        self.whole, self.fraction = torch.zeros((2, *shape), dtype=torch.float64, device=device)
        self._term, self._near = torch.zeros((2, *shape[1:]), dtype=torch.float64, device=device)
        self._added = 0

    def add(self) -> None:
        """Add what the tap holds of its last batch."""
        self.n_tokens += self.tap.n_tokens().to(torch.int64)
        for number, moments in self.tap.moments.items():
            self.n_positive[number] += self.tap.positive[number].to(torch.int64)
            self._term.copy_(moments)
            torch.round(self._term, out=self._near)
            self.whole[number] += self._near
            self._term.sub_(self._near).add_(_GRID).sub_(_GRID)
            self.fraction[number] += self._term
        self._added += 1
        if self._added == _ADDITIONS:
            self._carry()

    def _carry(self) -> None:
        """Leave fractions of at most a half."""
        carry = self.fraction.round()
        self.whole += carry
        self.fraction -= carry
        self._added = 0

    def take(self, orders: Sequence[torch.Tensor]) -> NeuronTotals:
        """Hand the totals over to the host and begin again at zero.

        Parameters
        ----------
        orders : for each layer int64 (d_ff,), which neuron of the model each place holds.
        """
        self._carry()
        device = self.whole.device
        back = torch.stack([torch.argsort(order).to(device) for order in orders])  # (layer, neuron)

        def of_neurons(table: torch.Tensor) -> np.ndarray:
            """From (layer, ..., block, place) to (..., block, layer, neuron), on the host."""
            between = table.shape[1:-1]
            index = back.reshape(len(back), *[1] * len(between), -1).expand_as(table)
            return table.gather(-1, index).movedim(0, -2).contiguous().cpu().numpy()

        n_positive, whole, fraction = map(of_neurons, (self.n_positive, self.whole, self.fraction))
        found = NeuronTotals(n_positive, whole, fraction, self.n_tokens.cpu().numpy().copy())
        for tensor in (self.n_tokens, self.n_positive, self.whole, self.fraction):
            tensor.zero_()
        return found
