"""Scores of one layer's experts in several partitions, out of the same activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from babelscope.recording.gpu_trials import usable
from babelscope.recording.scores import (
    ExpertLayout,
    expert_grams,
    expert_indicator,
    norm_experts,
    score_experts,
    sum_by_product,
)
from babelscope.study.errors import require

_HALF = (torch.bfloat16, torch.float16)


class LayerScorer:
    """From activations to scores, partition by partition.

    Signed scores of half precision on a GPU are one product for all partitions; others are gathered.

    Parameters
    ----------
    layouts, scores : of each partition its layout and a row of ``SCORES``.
    places : for each int64 (d_ff,), where the neurons of its order stand; None: in this order.
    down : (d_model, d_ff), the layer's down projection with its neurons as they stand.
    by_product : whether signed scores are one product; None: where that is faster.
    """

    def __init__(
        self,
        layouts: Sequence[ExpertLayout],
        scores: Sequence[str],
        places: Sequence[torch.Tensor | None],
        down: torch.Tensor,
        by_product: bool | None = None,
    ) -> None:
        self.layouts, self.scores, self.places = layouts, scores, places
        self._grams: list[torch.Tensor | None] = []
        for layout, score, place in zip(layouts, scores, places, strict=True):
            wanted = score == "output_norm"
            require(
                not wanted or down.device.type != "meta",
                "score output_norm: the weights must stay on their device",
            )
            self._grams.append(expert_grams(_stand(down, place), layout) if wanted else None)
        signed = [idx for idx, score in enumerate(scores) if score == "signed"]
        self._indicator: torch.Tensor | None = None
        if by_product is None:
            by_product = down.is_cuda and down.dtype in _HALF and usable("product")
        if by_product and signed:
            self._widths = [layouts[idx].n_experts for idx in signed]
            self._indicator = expert_indicator([layouts[i] for i in signed], [places[i] for i in signed])

    def each(self, activations: torch.Tensor) -> Iterator[torch.Tensor]:
        """Scores of each partition, float32 (n_tokens, n_experts), from (n_tokens, d_ff)."""
        by_product: Iterator[torch.Tensor] = iter(())
        if self._indicator is not None:
            indicator = self._indicator.to(activations.dtype)
            by_product = iter(sum_by_product(activations, indicator).split(self._widths, dim=1))
        rows = zip(self.layouts, self.scores, self.places, self._grams, strict=True)
        for layout, score, place, gram in rows:
            if score == "signed" and self._indicator is not None:
                yield next(by_product)
                continue
            own = _stand(activations, place)
            if gram is not None:
                yield norm_experts(own, layout, gram)
            else:
                yield score_experts(own.abs() if score == "absolute" else own, layout)


def _stand(values: torch.Tensor, place: torch.Tensor | None) -> torch.Tensor:
    """Values of neurons, along the last axis, in a layout's order."""
    # one gather for each partition: sums of slices of a wider one are far slower
    return values if place is None else values.index_select(1, place.to(values.device))
