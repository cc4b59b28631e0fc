"""Whole pruning methods: how a layer's neurons are chosen out of its moments, for ``prune_and_compensate``.

To add one, add a row to ``METHODS``. No torch is loaded until a method is used.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from babelscope.model.families import find_family
from babelscope.pruning.choice import CHOICES

if TYPE_CHECKING:
    import torch

    from babelscope.model.load import StudyModel
    from babelscope.pruning.compensation import Choose, FitSettings
    from babelscope.pruning.layer_costs import LayerCosts
    from babelscope.pruning.moments import Moments
    from babelscope.text.tokens import TokenizedCorpus


@dataclass(frozen=True)
class Method:
    """One way to choose and correct neurons, layer by layer through the pruned model.

    Attributes
    ----------
    choose : from the number of neurons that each layer keeps to what chooses them.
    by_loss : whether layers share the neurons out among them by what these cost in nats, see ``layer_costs``;
        otherwise all keep the same share.
    first_token, relative : which tokens count, and how much; see ``moments.MomentSettings``. Neither is part
        of the published methods. Relative errors count in families alone that normalise the layer's output:
        there its length does not matter.
    """

    choose: Callable[[Sequence[int]], Choose]
    first_token: bool = False
    relative: bool = False
    by_loss: bool = False

    def choice(
        self,
        model: StudyModel,
        corpus: TokenizedCorpus,
        document_idx: np.ndarray,
        share: float,
        costs: LayerCosts | None = None,
    ) -> Choose:
        """What chooses the neurons of each layer of a dense model, which stays.

        Parameters
        ----------
        model : dense.
        corpus, document_idx : profile documents.
        share : of the neurons of all layers that stays.
        costs : of the model's neurons; None: measured on the documents, where the method asks for them.
        """
        if not self.by_loss:
            return self.choose([round(share * layer.d_ff) for layer in model.layers])
        if costs is None:
            from babelscope.pruning.loss_budgets import layer_costs

            settings = self.settings(str(model.module.config.model_type))  # type: ignore[union-attr]
            costs = layer_costs(model, corpus, document_idx, settings)
        return self.choose(costs.sizes(share).tolist())

    def settings(self, family: str) -> FitSettings:
        """For ``prune_and_compensate`` on a model of this family."""
        from babelscope.pruning.compensation import FitSettings

        return FitSettings(self.first_token, self.relative and find_family(family, ()).normalised)


def second_order(sizes: Sequence[int]) -> Choose:
    """Greedy elimination, see ``second_order``; the first token and relative errors count."""
    from babelscope.pruning.second_order import choose_second_order

    return choose_second_order(sizes)


def wanda_sp(sizes: Sequence[int]) -> Choose:
    """``sum_j |down[j, i]| * sqrt(mean_t h_t**2)`` (An et al. 2024, arXiv 2312.11983)."""
    return _by_score(
        sizes,
        lambda moments, down: down.abs().sum(dim=0) * (moments.gram.diagonal() / moments.n_tokens).sqrt(),
    )


def flap(sizes: Sequence[int]) -> Choose:
    """``var_t h_t * ||down[:, i]||_2**2`` (An et al. 2024, arXiv 2312.11983)."""

    def score(moments: Moments, down: torch.Tensor) -> torch.Tensor:
        mean = moments.total / moments.n_tokens
        return (moments.gram.diagonal() / moments.n_tokens - mean.square()) * down.square().sum(dim=0)

    return _by_score(sizes, score)


def _by_score(sizes: Sequence[int], score: Callable[[Moments, torch.Tensor], torch.Tensor]) -> Choose:
    """Keep the largest scores of each layer."""

    def choose(number: int, moments: Moments, weight: torch.Tensor) -> np.ndarray:
        scores = score(moments, weight.to(moments.gram.device).double()).cpu().numpy()
        return np.sort(np.argsort(-scores, kind="stable")[: sizes[number]])

    return choose


# Rows of ``CHOICES`` choose experts, those of ``METHODS`` neurons.
METHODS: dict[str, Method] = {
    "second_order": Method(second_order, first_token=True, relative=True),
    "second_order_by_loss": Method(second_order, first_token=True, relative=True, by_loss=True),
    "wanda_sp": Method(wanda_sp),
    "flap": Method(flap),
}

# What ``pruning.method`` may be; rows that are added to either are seen.
ALL_METHODS: ChainMap[str, Any] = ChainMap(METHODS, CHOICES)
