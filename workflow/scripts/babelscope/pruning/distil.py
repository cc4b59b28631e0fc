"""Distillation: the feed-forward layers of a pruned model are trained to say what the dense model says.

No label is used: the pruned model's distribution of the next token, or its last hidden states, are drawn to
those of the dense model on profile documents. Minutes on two cores, seconds on a GPU; reported apart from
compensation, which trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model, to_device
from babelscope.pruning.loss_budgets import spread_evenly
from babelscope.pruning.pruned_model import MATRICES, PruningPlan, apply_plan
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger, progress
from babelscope.text.batches import Batch, make_batches
from babelscope.text.tokens import TokenizedCorpus, documents_of_each, join_corpora

# One profile document of so many is for validation: neither columns nor weights are fitted to it.
VALIDATION_SHARE = 6
# Rows x length of the batch of one step. It decides what is learnt, so it is no setting of memory.
STEP_TOKENS = 512
# Tokens whose distributions of the next token are in memory at a time.
_PART_TOKENS = 128


@dataclass(frozen=True)
class DistilSettings:
    """How a pruned model is trained.

    Attributes
    ----------
    epochs : passes over the documents.
    learning_rate : of Adam at the start; it falls to zero as a cosine.
    seed : of the order of batches.
    loss : a row of ``LOSSES``.
    """

    epochs: int = 4
    learning_rate: float = 3e-5
    seed: int = 0
    loss: str = "logits"


def hidden_loss(model: StudyModel, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Squared distance of the last hidden states (n_tokens, d_model), as a share of their squared length."""
    found, wanted = found.float(), wanted.float()
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


def distil_plan(
    info: ModelInfo,
    compute: Compute,
    corpora: Sequence[TokenizedCorpus],
    plan: PruningPlan,
    n_fitted: int,
    settings: DistilSettings,
) -> tuple[PruningPlan, list[float]]:
    """Train the finished model of one language, or of several together.

    Two copies of the model are in memory, and for every weight that is trained 16 bytes more; on the host,
    the best weights so far.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpora : documents of each language.
    plan : the finished model.
    n_fitted : profile documents that its columns were fitted to, of all languages together.
    settings : how.

    Returns
    -------
    The same neurons with all their weights, in the model's own type; and the losses, see ``distil``.

    Raises
    ------
    BabelscopeError
        Where too few documents are left for validation, a loss is no number, or a GPU runs out of memory.
    """
    corpus, document_idx, held_idx = split_documents(corpora, n_fitted)
    compute = replace(compute, compile=False)  # made for passes without gradients
    dense, model = load_model(info, compute, many_tokens=True), load_model(info, compute)
    apply_plan(model.layers, plan)
    n_tokens = int(np.diff(corpus.offsets)[document_idx].sum())
    with progress(n_tokens * settings.epochs, "tokens", "distilling") as bar:
        try:
            losses = distil(model, dense, corpus, document_idx, held_idx, settings, bar.update)
        except torch.OutOfMemoryError as error:
            raise BabelscopeError(
                "pruning.distil_epochs: the GPU's memory does not hold two models and 16 bytes for each "
                "weight that is trained; need a bigger GPU, device_map: auto with more of them, device: cpu, "
                "or 0 epochs"
            ) from error
    trained = {
        name: tuple(getattr(layer, name).weight.detach().cpu() for layer in model.layers)
        for name in MATRICES
        if getattr(model.layers[0], name) is not None
    }
    return PruningPlan(plan.keep, **trained), losses


def split_documents(
    corpora: Sequence[TokenizedCorpus], n_fitted: int
) -> tuple[TokenizedCorpus, np.ndarray, np.ndarray]:
    """The profile documents of some languages: those to train on, and those for validation.

    Validation has one of ``VALIDATION_SHARE`` profile documents of each language, evenly among those that
    columns were not fitted to, which are the first.

    Parameters
    ----------
    corpora : of one model.
    n_fitted : documents that columns were fitted to, of all corpora together.

    Returns
    -------
    All profile documents as one corpus, and int64 indices of the two parts, which have none in common.

    Raises
    ------
    BabelscopeError
        Where a corpus has too few.
    """
    joined = join_corpora([corpus.take(corpus.profile_idx) for corpus in corpora])
    n_first, held, start = documents_of_each(n_fitted, corpora), [], 0
    for corpus in corpora:
        n_profile = len(corpus.profile_idx)
        n_left, n_held = n_profile - n_first, max(1, n_profile // VALIDATION_SHARE)
        if n_held > n_left:
            raise BabelscopeError(
                f"pruning.distil_epochs validates on {n_held} of {n_profile} profile documents, which "
                f"columns are not fitted to, and they are fitted to {min(n_first, n_profile)}; need more "
                "profile documents or fewer pruning.compensation_documents"
            )
        held.append(start + n_first + spread_evenly(n_left, n_held))
        start += n_profile
    held_idx = np.concatenate(held)
    return joined, np.setdiff1d(joined.profile_idx, held_idx), held_idx


def distil(
    model: StudyModel,
    dense: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    held_idx: np.ndarray,
    settings: DistilSettings,
    update: Callable[[float], object] = lambda n: None,
) -> list[float]:
    """Train the feed-forward layers of a pruned model, in place.

    The weights of the epoch with the lowest loss on validation documents are kept, those before the first
    among them.

    Parameters
    ----------
    model, dense : the pruned model and the dense one, apart in memory.
    corpus, document_idx : documents to train on.
    held_idx : documents for validation. What compensation was fitted to is no fair validation: the loss
        before the first epoch is too low on it.
    settings : how.
    update : called with the tokens of each batch when it is done.

    Returns
    -------
    Loss on the validation documents before the first epoch and after each; fewer where one is no number.

    Raises
    ------
    BabelscopeError
        Where the first is no number.
    """
    batches = list(make_batches(corpus, document_idx, STEP_TOKENS))
    validation = list(make_batches(corpus, held_idx, STEP_TOKENS))
    n_steps = settings.epochs * len(batches)
    rng = np.random.default_rng(settings.seed)

    def validate() -> float:
        with torch.no_grad():
            pairs = [_read(model, dense, batch, settings.loss) for batch in validation]
        return float(np.average([loss for loss, _ in pairs], weights=[n for _, n in pairs]))

    losses = [validate()]
    if not np.isfinite(losses[0]):
        raise BabelscopeError(f"the pruned model's loss is {losses[0]} before distillation; need a number")
    with _trained(model) as (weights, masters):
        # for all tensors at once it would need a further copy of them
        optimiser = torch.optim.Adam(masters, settings.learning_rate, foreach=False)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, n_steps))
        best = [weight.detach().to("cpu", copy=True) for weight in weights]
        for epoch in range(settings.epochs):
            for number in rng.permutation(len(batches)):
                _, n_tokens = _read(model, dense, batches[number], settings.loss)
                _step(weights, masters, optimiser)
                falling.step()
                update(n_tokens)
            losses.append(validate())
            logger.info("epoch %d: validation loss %.4f (before: %.4f)", epoch + 1, losses[-1], losses[0])
            if not np.isfinite(losses[-1]):
                logger.warning("the loss is no number: training ends; need a lower learning rate")
                losses.pop()
                break
            if losses[-1] == min(losses):
                for kept, weight in zip(best, weights, strict=True):
                    kept.copy_(weight.detach())
        with torch.no_grad():
            for weight, kept in zip(weights, best, strict=True):
                weight.copy_(kept)
    return losses


def _read(model: StudyModel, dense: StudyModel, batch: Batch, name: str) -> tuple[float, int]:
    """Loss of a batch and its tokens; where gradients are on, those of the model's weights are added up.

    The output layer reads a part of the tokens at a time and is done with it: what it says about all of them
    would take more memory than the model.
    """
    ids = to_device(batch.token_ids, model.device)
    found = model.base(input_ids=ids, use_cache=False)[0]
    real = to_device(batch.real_mask(), found.device)
    found = found[real]
    with torch.no_grad():
        wanted = dense.base(input_ids=ids, use_cache=False)[0].to(found.device)[real]
    leaves = [part.detach().requires_grad_(found.requires_grad) for part in found.split(_PART_TOKENS)]
    total = 0.0
    for leaf, part in zip(leaves, wanted.split(_PART_TOKENS), strict=True):
        loss = LOSSES[name](model, leaf, part) * (len(leaf) / len(found))
        total += float(loss.detach())
        if found.requires_grad:
            loss.backward()
    if found.requires_grad:
        found.backward(torch.cat([leaf.grad for leaf in leaves if leaf.grad is not None]))
    return total, len(found)


def _step(
    weights: Sequence[nn.Parameter], masters: Sequence[torch.Tensor], optimiser: torch.optim.Optimizer
) -> None:
    """One step of the optimiser on the masters; the weights follow."""
    for weight, master in zip(weights, masters, strict=True):
        master.grad = None if weight.grad is None else weight.grad.float()
        weight.grad = None
    optimiser.step()
    with torch.no_grad():
        for weight, master in zip(weights, masters, strict=True):
            master.grad = None
            weight.copy_(master)


@contextmanager
def _trained(model: StudyModel) -> Iterator[tuple[list[nn.Parameter], list[torch.Tensor]]]:
    """The weights of the feed-forward layers as parameters, within, and copies of them in float32.

    Steps are taken on the copies: those of a learning rate of 3e-5 are lost where weights have the eight bits
    of bfloat16. What is validated and kept are the weights, in the model's own type.
    """
    weights = []
    for layer in model.layers:
        for linear in layer.linears:
            # a copy: what was made in inference mode cannot be trained
            linear.weight = nn.Parameter(linear.weight.detach().clone())
            weights.append(linear.weight)
    try:
        yield weights, [weight.detach().float().clone().requires_grad_() for weight in weights]
    finally:
        for weight in weights:
            weight.requires_grad_(False)
            weight.grad = None
