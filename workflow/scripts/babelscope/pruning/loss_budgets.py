"""Second-order selection with errors in nats: what stays, and how much of each layer, by what the loss says.

An error e in what a layer says about a token raises the loss by about (g'e)^2 / 2, g being the gradient of
the document's loss by it. The mean of g g' over tokens, a matrix for each layer (the output side of
Kronecker-factored Fisher information), gives the errors of all layers one unit, nats per token: neurons go
where the loss feels it least, and layers that matter less keep fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel, to_device
from babelscope.pruning.budgets import equal_errors
from babelscope.pruning.compensation import Choose
from babelscope.pruning.moments import Moments, MomentSettings, gather_moments
from babelscope.pruning.second_order import GROUP, RIDGE, choose_second_order, eliminate
from babelscope.pruning.selectors import Removals
from babelscope.pruning.walk import LayerWalk
from babelscope.text.batches import Batch, make_batches
from babelscope.text.tokens import TokenizedCorpus

# Documents whose gradients are taken, and tokens of a batch of theirs.
N_DOCUMENTS = 100
_TOKENS_PER_BATCH = 1024
# Of the mean of a matrix' diagonal, added to it: no direction is free.
_FLOOR = 0.01


def output_metrics(
    model: StudyModel, corpus: TokenizedCorpus, document_idx: np.ndarray, settings: MomentSettings
) -> list[torch.Tensor]:
    """What errors in each layer's output cost.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents; every token has the next one as its label.
    settings : which tokens count, and whether errors are relative to the output's length.

    Returns
    -------
    For each layer a symmetric matrix R, float64 (d_model, d_model), on the CPU: ``|R e|^2 / 2`` are nats per
    token for the error e, to second order.
    """
    d_model = model.layers[0].down.weight.shape[0]
    totals = [torch.zeros((d_model, d_model), dtype=torch.float64) for _ in model.layers]
    n_tokens = 0
    with _caught(model) as outputs:
        for batch in make_batches(corpus, document_idx, _TOKENS_PER_BATCH):
            outputs.clear()
            gradients = torch.autograd.grad(_loss(model, batch), outputs)
            counts = to_device(batch.real_mask(settings.first_token), model.device)
            for total, output, gradient in zip(totals, outputs, gradients, strict=True):
                rows = gradient.reshape(*counts.shape, -1)[counts].double()
                if settings.relative:
                    said = output.detach().reshape(*counts.shape, -1)[counts].double()
                    rows = rows * said.norm(dim=1, keepdim=True)
                total += (rows.T @ rows).cpu()
            n_tokens += int(counts.sum())
    return [_root(total / max(1, n_tokens)) for total in totals]


def choose_by_loss(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: MomentSettings,
    share: float,
) -> Choose:
    """What chooses neurons in ``prune_and_compensate``; the model stays.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents; gradients are taken of ``N_DOCUMENTS`` of them, spread evenly.
    settings : which tokens count, and how.
    share : of all layers' neurons that stays.
    """
    spread = np.linspace(0, len(document_idx) - 1, min(N_DOCUMENTS, len(document_idx))).round().astype(int)
    metrics = output_metrics(model, corpus, np.asarray(document_idx)[spread], settings)
    sizes = equal_errors(measure_costs(model, corpus, document_idx, settings, metrics), share)
    return choose_by_metrics(sizes, metrics)


def choose_by_metrics(
    sizes: Sequence[int] | np.ndarray,
    metrics: Sequence[torch.Tensor],
    ridge: float = RIDGE,
    group: int = GROUP,
) -> Choose:
    """As ``choose_second_order``, with errors as ``output_metrics`` sees them."""
    choose = choose_second_order(sizes, ridge, group)

    def seen(number: int, moments: Moments, weight: torch.Tensor) -> np.ndarray:
        return choose(number, moments, metrics[number].to(weight.device) @ weight.double())

    return seen


def measure_costs(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: MomentSettings,
    metrics: Sequence[torch.Tensor],
) -> Removals:
    """Eliminate all neurons of every layer of the dense model, as ``measure_removals``; errors are in nats.

    What they say of one layer compares with what they say of another: each is what the loss of a token rises
    by where that layer alone is cut, to second order.
    """
    rank, error = [], []
    with torch.inference_mode():
        walk = LayerWalk(model, corpus, document_idx, settings.first_token)
        for layer, metric in zip(model.layers, metrics, strict=True):
            moments = gather_moments(walk, settings).whole
            weight = metric.to(layer.down.weight.device) @ layer.down.weight.double()
            found = eliminate(moments.gram, weight, layer.d_ff)
            whole = float((weight * (weight @ moments.gram)).sum()) / max(1, moments.n_tokens) / 2
            rank.append(found.rank(layer.d_ff))
            error.append(found.errors(layer.d_ff) * whole)
            walk.step()
    return Removals(np.stack(rank), np.stack(error))


@contextmanager
def _caught(model: StudyModel) -> Iterator[list[torch.Tensor]]:
    """Within, the list gets every layer's output, of which gradients can be taken."""
    found: list[torch.Tensor] = []

    def catch(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        # the first layer's output is where the graph begins: no weight has a gradient
        output = output if output.requires_grad else output.detach().requires_grad_()
        found.append(output)
        return output

    hooks = [layer.down.register_forward_hook(catch) for layer in model.layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _loss(model: StudyModel, batch: Batch) -> torch.Tensor:
    """Sum of the losses of all predicted tokens, nats."""
    ids, real = to_device(batch.token_ids, model.device), to_device(batch.real_mask(), model.device)
    with torch.enable_grad():
        logits = model.module(input_ids=ids, use_cache=False).logits[:, :-1].float()
        nll = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return (nll * real[:, 1:].flatten()).sum()


def _root(matrix: torch.Tensor) -> torch.Tensor:
    """Symmetric square root, after a floor on the diagonal."""
    floor = _FLOOR * matrix.diagonal().mean()
    values, vectors = torch.linalg.eigh(matrix + floor * torch.eye(len(matrix), dtype=matrix.dtype))
    return vectors * values.clamp_min(0).sqrt() @ vectors.T
