"""Hooks on a model that turn feed-forward activations into z-scores of experts while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from babelscope.experts.partition import ExpertPartition
from babelscope.model.layers import take_neurons
from babelscope.model.load import StudyModel
from babelscope.recording.layer_scores import LayerScorer
from babelscope.recording.scores import ExpertLayout, count_active, standardise, token_tiles

if TYPE_CHECKING:
    from babelscope.recording.record import Variant


class ExpertTap:
    """Context in which a model's forward pass also gives the z-scores of several partitions.

    Forward hooks stand before the down projections of the Hugging Face model itself. On leaving, the model
    is as it was.

    Parameters
    ----------
    model : its output layer is never computed.
    partitions : ways to cut every layer; the first one is scored without a gather.
    scores : for each partition a row of ``SCORES``; None: all ``signed``.
    """

    def __init__(
        self, model: StudyModel, partitions: Sequence[ExpertPartition], scores: Sequence[str] | None = None
    ) -> None:
        self.scores = ["signed"] * len(partitions) if scores is None else list(scores)
        self.model, self.layers, self.partitions = model, model.layers, partitions
        self.device = model.device
        self.n_layers, self.problem = len(self.layers), "NaN or infinite activations"
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
            places: list[torch.Tensor | None] = [x.order for x in own]
            if self._permuted:
                places = [None, *(back[x.order] for x in own[1:])]
            scorer = LayerScorer(own, self.scores, places, layer.down.weight)
            self._hooks.append(layer.down.register_forward_pre_hook(self._hook(number, scorer)))
        return self

    @property
    def orders(self) -> list[torch.Tensor]:
        """Which neuron of the model stands in each place while the context lasts, by layer int64 (d_ff,)."""
        if self._permuted:
            return [torch.argsort(back) for back in self._back]
        return [torch.arange(layer.d_ff) for layer in self.layers]

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

    def _hook(self, number: int, scorer: LayerScorer) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            activations = args[0].reshape(-1, args[0].shape[-1])  # (token, neuron)
            for tile in token_tiles(len(activations), activations.device):
                part = activations[tile]
                if part.device.type == "cpu":
                    part = part.float()  # gathers of half precision are slow there
                for z, scores in zip(self._z, scorer.each(part), strict=True):
                    z[tile, number] = standardise(scores).to(z.device)

        return before_down

    def shapes(self, variants: Sequence[Variant]) -> list[tuple[int, ...]]:
        """Of what ``count`` gives, without blocks: layers and experts."""
        return [(self.n_layers, v.partition.n_experts) for v in variants]

    def run(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Run one batch and keep its z-scores, ``z``.

        Parameters
        ----------
        token_ids : int64 (n_documents, length), on the model's input device.

        Returns
        -------
        bool (n_documents * length, n_layers), true where activations are NaN or infinite.
        """
        n_tokens = token_ids.numel()
        if not self._tables or len(self._tables[0]) < n_tokens:
            shapes = [(n_tokens, len(self.layers), p.n_experts) for p in self.partitions]
            self._tables = [torch.empty(shape, dtype=torch.float32, device=self.device) for shape in shapes]
        self._z = [table[:n_tokens] for table in self._tables]
        self.model.hidden(token_ids)
        # a NaN or infinite score makes its whole standardised row NaN: looking at one expert is enough
        return self._z[0][:, :, 0].isnan()

    @property
    def z(self) -> list[torch.Tensor]:
        """z-scores of the last batch.

        For every partition float32 (n_documents * length, n_layers, n_experts); NaN for a token and layer
        with NaN or infinite activations. The next batch writes into the same memory.
        """
        return self._z

    def count(
        self, variants: Sequence[Variant], membership: torch.Tensor, more: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """``count_active`` of the last batch for every variant; each must be one that this tap scores.

        The first variant is counted for the rows of ``more``, too: they follow those of ``membership``.
        """
        scored = zip(self.partitions, self.scores, self._z, strict=True)
        tables = {(id(p), score): table.flatten(1) for p, score, table in scored}
        rows = [membership] * len(variants)
        if more is not None:
            rows[0] = torch.cat([membership, more])
        return [
            count_active(tables[id(v.partition), v.score], v.top_k, own)
            for v, own in zip(variants, rows, strict=True)
        ]

    def release(self) -> None:
        """Give the memory of the z-scores back; the last result of ``run`` is no longer valid."""
        self._tables, self._z = [], []
