"""Distillation: the feed-forward layers of a pruned model are trained to say what the dense model says.

No label is used: the pruned model's last hidden states, or its distribution of the next token, are drawn to
those of the dense model on profile documents. Minutes on two cores, seconds on a GPU; reported apart from
compensation, which trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel, to_device
from babelscope.pruning.walk import VALIDATION_SHARE
from babelscope.text.batches import Batch, make_batches
from babelscope.text.tokens import TokenizedCorpus


@dataclass(frozen=True)
class DistilSettings:
    """How a pruned model is trained.

    Attributes
    ----------
    epochs : passes over the documents.
    learning_rate : of Adam at the start; it falls to zero as a cosine.
    loss : a row of ``LOSSES``.
    seed : of the order of batches.
    """

    epochs: int = 4
    learning_rate: float = 1e-4
    loss: str = "hidden"
    seed: int = 0


def hidden_loss(model: StudyModel, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Squared distance of the last hidden states (n_tokens, d_model), as a share of their squared length."""
    return (found - wanted).square().sum() / wanted.square().sum()


def logits_loss(model: StudyModel, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of the next token's distribution from the dense model's, nats per token."""
    cap = getattr(model.module.config, "final_logit_softcapping", None)

    def logs(hidden: torch.Tensor) -> torch.Tensor:
        logits = model.head(hidden).float()
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        return logits.log_softmax(dim=-1)

    return nn.functional.kl_div(logs(found), logs(wanted), log_target=True, reduction="batchmean")


LOSSES: dict[str, Callable[[StudyModel, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "hidden": hidden_loss,
    "logits": logits_loss,
}


def distil(
    model: StudyModel,
    dense: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: DistilSettings,
    held_idx: np.ndarray | None = None,
) -> list[float]:
    """Train the feed-forward layers of a pruned model, in place.

    The weights of the epoch with the lowest loss on validation documents are kept, those before the first
    among them.

    Parameters
    ----------
    model, dense : the pruned model and the dense one, apart in memory.
    corpus, document_idx : profile documents to train on.
    settings : how.
    held_idx : documents for validation; None: every fifth of those above. What compensation was fitted to is
        no fair validation: the loss before the first epoch is too low on it.

    Returns
    -------
    Loss on the validation documents before the first epoch and after each.
    """
    fitted, held = document_idx, held_idx
    if held is None:
        rank = np.arange(len(document_idx))
        held = document_idx[rank % VALIDATION_SHARE == 0]
        fitted = document_idx[rank % VALIDATION_SHARE != 0]
    batches = list(make_batches(corpus, fitted, model.tokens_per_batch))
    validation = list(make_batches(corpus, held, model.tokens_per_batch))
    rng = np.random.default_rng(settings.seed)
    with _trainable(model) as weights:
        optimiser = torch.optim.Adam(weights, settings.learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * len(batches))
        losses = [_mean_loss(model, dense, validation, settings)]
        best = [weight.detach().clone() for weight in weights]
        for _ in range(settings.epochs):
            for number in rng.permutation(len(batches)):
                optimiser.zero_grad()
                _loss(model, dense, batches[number], settings).backward()
                optimiser.step()
                falling.step()
            losses.append(_mean_loss(model, dense, validation, settings))
            if losses[-1] == min(losses):
                best = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight, kept in zip(weights, best, strict=True):
                weight.copy_(kept)
    return losses


def _loss(model: StudyModel, dense: StudyModel, batch: Batch, settings: DistilSettings) -> torch.Tensor:
    ids, real = to_device(batch.token_ids, model.device), to_device(batch.real_mask(), model.device)
    found = model.base(input_ids=ids, use_cache=False)[0][real]
    with torch.no_grad():
        wanted = dense.base(input_ids=ids, use_cache=False)[0][real]
    return LOSSES[settings.loss](model, found, wanted)


def _mean_loss(model: StudyModel, dense: StudyModel, batches: list[Batch], settings: DistilSettings) -> float:
    """Mean over tokens of the loss of some batches."""
    with torch.no_grad():
        pairs = [(float(_loss(model, dense, b, settings)), int(b.real_mask().sum())) for b in batches]
    return float(np.average([loss for loss, _ in pairs], weights=[n for _, n in pairs]))


@contextmanager
def _trainable(model: StudyModel) -> Iterator[list[nn.Parameter]]:
    """The weights of the feed-forward layers as parameters that are trained, within."""
    weights = []
    for layer in model.layers:
        for linear in layer.linears:
            # a copy: what was made in inference mode cannot be trained
            linear.weight = nn.Parameter(linear.weight.detach().clone())
            weights.append(linear.weight)
    try:
        yield weights
    finally:
        for weight in weights:
            weight.requires_grad_(False)
