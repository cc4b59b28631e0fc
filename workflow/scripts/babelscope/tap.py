"""Hooks on a model that turn feed-forward activations into z-scores of experts while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from babelscope.containers import ExpertPartition
from babelscope.models import FfnLayer, base_model, input_device, take_neurons
from babelscope.scoring import ExpertLayout, score_experts, standardise


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
            orders = [self._back[number][x.order] if self._permuted else x.order for x in own]
            gathers = [None if self._permuted and not i else order for i, order in enumerate(orders)]
            self._hooks.append(layer.down.register_forward_pre_hook(self._hook(number, own, gathers)))
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
        self, number: int, layouts: Sequence[ExpertLayout], gathers: Sequence[torch.Tensor | None]
    ) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            activations = args[0].reshape(-1, args[0].shape[-1])  # (token, neuron)
            for layout, gather, z in zip(layouts, gathers, self._z, strict=True):
                ordered = activations if gather is None else _columns(activations, gather)
                z[:, number] = standardise(score_experts(ordered, layout)).to(z.device)

        return before_down

    def run(self, token_ids: torch.Tensor) -> list[torch.Tensor]:
        """z-scores of one batch.

        Parameters
        ----------
        token_ids : int64 (n_documents, length), on the model's input device.

        Returns
        -------
        For every partition float32 (n_documents * length, n_layers, n_experts); NaN for a token and layer
        with NaN or infinite activations.
        """
        shapes = [(token_ids.numel(), len(self.layers), p.n_experts) for p in self.partitions]
        self._z = [torch.empty(shape, dtype=torch.float32, device=self.device) for shape in shapes]
        with torch.inference_mode():
            base_model(self.model)(input_ids=token_ids, use_cache=False)
        z, self._z = self._z, []
        return z


def _columns(activations: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return activations.index_select(1, order.to(activations.device))
