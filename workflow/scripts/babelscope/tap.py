"""Hooks on a model that turn feed-forward activations into z-scores of experts while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from babelscope.containers import ExpertPartition
from babelscope.models import FfnLayer, base_model, input_device, take_neurons
from babelscope.scoring import ExpertLayout, score_experts, standardise, token_tiles


class ExpertTap:
    """Context in which a model's forward pass also gives the z-scores of several partitions.

    Forward hooks stand before the down projections of the Hugging Face model itself. On leaving, the model
    is as it was.

    Parameters
    ----------
    model : model with its output layer, which is never computed.
    layers : its feed-forward layers.
    partitions : ways to cut every layer; the first one is scored without a gather.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[FfnLayer], partitions: Sequence[ExpertPartition]
    ) -> None:
        self.model, self.layers, self.partitions = model, layers, partitions
        self.device = input_device(model)
        self._tables: list[torch.Tensor] = []
        self._z: list[torch.Tensor] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> ExpertTap:
        layouts = [self._layouts(partition) for partition in self.partitions]
        # Neurons of the first partition are put in its order once, so that its scores need no gather. Weights
        # that accelerate keeps elsewhere and brings in for each pass cannot be put in order.
        self._permuted = all(layer.down.weight.device.type != "meta" for layer in self.layers)
        self._back = [torch.argsort(layout.order) for layout in layouts[0]]
        if self._permuted:
            take_neurons(self.layers, [layout.order for layout in layouts[0]])
        for number, layer in enumerate(self.layers):
            own = [row[number] for row in layouts]
            back = self._back[number]
            orders = [back[x.order] for x in own[1:]] if self._permuted else [x.order for x in own]
            gather = torch.cat(orders) if orders else None
            self._hooks.append(layer.down.register_forward_pre_hook(self._hook(number, own, gather)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self._permuted:
            take_neurons(self.layers, self._back)

    def _layouts(self, partition: ExpertPartition) -> list[ExpertLayout]:
        devices = [layer.down.weight.device for layer in self.layers]
        return [
            ExpertLayout.from_labels(row, partition.n_experts).to(self.device if d.type == "meta" else d)
            for row, d in zip(partition.labels, devices, strict=True)
        ]

    def _hook(
        self, number: int, layouts: Sequence[ExpertLayout], gather: torch.Tensor | None
    ) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            activations = args[0].reshape(-1, args[0].shape[-1])  # (token, neuron)
            for tile in token_tiles(len(activations), activations.device):
                pieces = self._pieces(activations[tile], gather)
                for piece, layout, z in zip(pieces, layouts, self._z, strict=True):
                    z[tile, number] = standardise(score_experts(piece, layout)).to(z.device)

        return before_down

    def _pieces(self, activations: torch.Tensor, gather: torch.Tensor | None) -> list[torch.Tensor]:
        """Activations (n_tokens, d_ff) in the order of every partition."""
        if activations.device.type == "cpu":
            activations = activations.float()  # gathers of half precision are slow there
        first = [activations] if self._permuted else []
        if gather is None:
            return first
        gathered = activations.index_select(1, gather.to(activations.device))
        return first + list(gathered.split(activations.shape[1], dim=1))

    def run(self, token_ids: torch.Tensor) -> list[torch.Tensor]:
        """z-scores of one batch.

        Parameters
        ----------
        token_ids : int64 (n_documents, length), on the model's input device.

        Returns
        -------
        For every partition float32 (n_documents * length, n_layers, n_experts); NaN for a token and layer
        with NaN or infinite activations. The next batch writes into the same memory.
        """
        n_tokens = token_ids.numel()
        if not self._tables or len(self._tables[0]) < n_tokens:
            shapes = [(n_tokens, len(self.layers), p.n_experts) for p in self.partitions]
            self._tables = [torch.empty(shape, dtype=torch.float32, device=self.device) for shape in shapes]
        self._z = [table[:n_tokens] for table in self._tables]
        with torch.inference_mode():
            base_model(self.model)(input_ids=token_ids, use_cache=False)
        return self._z

    def release(self) -> None:
        """Give the memory of the z-scores back; what ``run`` returned last is no longer valid."""
        self._tables, self._z = [], []


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy without making the host wait for the device."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
