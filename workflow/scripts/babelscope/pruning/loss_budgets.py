"""What each neuron of each layer costs in nats, so that layers can be compared: sizes by what the loss says.

An error e in what a layer says about a token raises the loss by about (g'e)^2 / 2, g being the gradient of
the document's loss by it. The mean of g g' over tokens, a matrix for each layer, gives the errors of all
layers one unit, nats per token: layers that the loss feels less can give more neurons up. The matrix is the
output side of Kronecker-factored Fisher information (K-FAC, Martens and Grosse 2015, arXiv 1503.05671), with
the text's own next tokens as labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.layers import free_bytes
from babelscope.model.load import StudyModel, load_model, to_device
from babelscope.pruning.blocks import other_forwards
from babelscope.pruning.compensation import solve_where_it_fits
from babelscope.pruning.layer_costs import LayerCosts
from babelscope.pruning.moments import LayerMoments, MomentSettings, gather_moments
from babelscope.pruning.second_order import GROUP, eliminate
from babelscope.pruning.walk import LayerWalk
from babelscope.text.batches import Batch
from babelscope.text.fitting import run_batches
from babelscope.text.tokens import TokenizedCorpus, documents_digest, documents_of_each, join_profiles

# Documents whose gradients are taken where there are more: the output layer costs most.
N_DOCUMENTS = 60
_TOKENS_PER_BATCH = 2048  # gradients keep what every layer computed
_TOKENS_OF_OUTPUT = 256  # that pass the output layer at a time: three times as many rows of logits
# Of a layer's neurons, those that go at once, at most: together they cost more than the sum that is noted.
_GROUP_SHARE = 1 / 32
# Of the mean of a matrix' diagonal, added to it: no direction is free.
_FLOOR = 0.01


def measure_reference(
    info: ModelInfo,
    compute: Compute,
    corpora: Sequence[TokenizedCorpus],
    n_documents: int,
    settings: MomentSettings,
) -> tuple[LayerCosts, str]:
    """What one neuron more costs in each layer of a prepared model, on documents of the reference languages.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpora, n_documents : of the languages, and profile documents of all together, as many of each.
    settings : which tokens count, and how.

    Returns
    -------
    The costs, and the digest of the documents' tokens.
    """
    corpus = join_profiles(corpora, documents_of_each(n_documents, corpora))
    every = np.arange(len(corpus.heldout))
    model = load_model(info, compute, many_tokens=True)
    return layer_costs(model, corpus, every, settings), documents_digest(corpus, every)


def layer_costs(
    model: StudyModel, corpus: TokenizedCorpus, document_idx: np.ndarray, settings: MomentSettings
) -> LayerCosts:
    """What one neuron more costs in each layer, in nats; the model stays.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents; gradients are taken of ``N_DOCUMENTS`` of them, spread evenly.
    settings : which tokens count, and how.
    """
    idx = np.asarray(document_idx)
    metrics = output_metrics(model, corpus, idx[spread_evenly(len(idx), N_DOCUMENTS)], settings)
    return LayerCosts(measure_costs(model, corpus, idx, settings, metrics))


def spread_evenly(n: int, n_taken: int) -> np.ndarray:
    """Of ``n`` places so many that lie evenly among them, int, rising; all where there are fewer."""
    return np.linspace(0, n - 1, min(n_taken, n)).round().astype(int)


def output_metrics(
    model: StudyModel, corpus: TokenizedCorpus, document_idx: np.ndarray, settings: MomentSettings
) -> list[torch.Tensor]:
    """What errors in each layer's output cost.

    Where memory runs out, batches are halved.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents; every token has the next one as its label.
    settings : which tokens count, and whether errors are relative to the output's length.

    Returns
    -------
    For each layer an upper triangular matrix R, float64 (d_model, d_model), on the CPU: ``|R e|^2 / 2`` are
    nats per token for the error e, to second order.
    """
    d_model = model.layers[0].down.weight.shape[0]
    totals = [torch.zeros((d_model, d_model), dtype=torch.float64, device=d) for d in _places(model, d_model)]
    n_tokens = 0

    def run(batch: Batch) -> None:
        nonlocal n_tokens
        counts = to_device(batch.real_mask(settings.first_token), model.device)
        products = []  # of all layers before any is added: what runs out of memory then has added nothing
        for total, output, gradient in zip(totals, *_outputs_and_gradients(model, batch), strict=True):
            here = counts.to(gradient.device)
            rows = gradient.reshape(*here.shape, -1)[here].float()
            if settings.relative:
                said = output.reshape(*here.shape, -1)[here].float()
                rows = rows * said.norm(dim=1, keepdim=True)
            products.append((rows.T @ rows).to(total.device))
        for total, product in zip(totals, products, strict=True):
            total += product
        n_tokens += int(counts.sum())

    before = model.tokens_per_batch
    model.tokens_per_batch = min(before, _TOKENS_PER_BATCH)
    try:
        run_batches(model, corpus, document_idx, run)
    finally:
        model.tokens_per_batch = before
    return [_root(total.div_(max(1, n_tokens)).to(model.device)).cpu() for total in totals]


def _places(model: StudyModel, d_model: int) -> list[torch.device]:
    """Where each layer's sum of products waits: on its GPU where all fit with as much again left for batches.

    Copies to the host, one of every batch and layer, would take most of the time.
    """
    n_bytes = 8 * d_model**2
    own = [layer.down.weight.device for layer in model.layers]
    room = {d for d in set(own) if d.type == "cuda" and free_bytes(d) > 2 * own.count(d) * n_bytes}
    return [device if device in room else torch.device("cpu") for device in own]


def measure_costs(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: MomentSettings,
    metrics: Sequence[torch.Tensor],
) -> np.ndarray:
    """Eliminate all neurons of every layer of the dense model; the model stays.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents that the activations are of.
    settings : which tokens count, and how.
    metrics : of every layer, see ``output_metrics``.

    Returns
    -------
    float64 (n_layers, d_ff), nats per token: by how much the loss rises, to second order, when one neuron
    more of that layer alone goes and the columns that stay are corrected; in the order of the elimination,
    rising along each row.
    """
    found = []
    with torch.inference_mode():
        walk = LayerWalk(model, corpus, document_idx, settings.first_token)
        for layer, metric in zip(model.layers, metrics, strict=True):
            costs: list[np.ndarray] = []
            solve = partial(_eliminate_all, metric, layer.down.weight, costs)
            solve_where_it_fits(walk, gather_moments(walk, settings), solve)
            found.append(np.maximum.accumulate(costs[0]))
            walk.step()
    return np.stack(found)


def _eliminate_all(
    metric: torch.Tensor, down: torch.Tensor, costs: list[np.ndarray], moments: LayerMoments
) -> None:
    """Add what each neuron of one layer costs, nats per token, in the order in which they go."""
    whole = moments.whole
    weight = metric.to(whole.gram.device) @ down.to(whole.gram.device).double()
    d_ff = weight.shape[1]
    group = max(1, min(GROUP, int(_GROUP_SHARE * d_ff)))
    error = eliminate(whole.gram, weight, d_ff, group=group, as_shares=False, overwrite=True).error
    costs.append(error.cpu().numpy() / max(1, whole.n_tokens) / 2)


def _outputs_and_gradients(
    model: StudyModel, batch: Batch
) -> tuple[list[torch.Tensor], Sequence[torch.Tensor]]:
    """What every layer says, and the gradient of the documents' losses, nats in all, by it."""
    ids, real = to_device(batch.token_ids, model.device), batch.real_mask(count_special=True)[:, 1:]
    outputs: list[torch.Tensor] = []
    with _caught(model, outputs), _kept_small(model), torch.enable_grad():
        hidden = model.base(input_ids=ids, use_cache=False)[0]
        last = hidden[:, :-1][to_device(real, hidden.device)]
        by_last = _loss_gradient(model, last.detach(), ids[:, 1:][to_device(real, ids.device)])
        gradients = torch.autograd.grad(last, outputs, by_last)
    return [output.detach() for output in outputs], gradients


def _loss_gradient(model: StudyModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Gradient of all tokens' losses by the last hidden states, (n_tokens, d_model)."""
    head, cap = model.head, getattr(model.module.config, "final_logit_softcapping", None)
    found = []
    for rows, wanted in zip(hidden.split(_TOKENS_OF_OUTPUT), targets.split(_TOKENS_OF_OUTPUT), strict=True):
        rows = rows.to(head.weight.device).requires_grad_()
        logits = nn.functional.linear(rows, head.weight, head.bias).float()
        if cap:
            logits = torch.tanh(logits / cap) * cap
        loss = nn.functional.cross_entropy(logits, wanted.to(logits.device), reduction="sum")
        found += torch.autograd.grad(loss, rows)
        del logits, loss  # before the next ones are made
    return torch.cat(found).to(hidden.device)


@contextmanager
def _caught(model: StudyModel, found: list[torch.Tensor]) -> Iterator[None]:
    """Within, the list gets every layer's output, of which gradients can be taken."""

    def catch(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        # the first layer's output is where the graph begins: no weight has a gradient
        output = output if output.requires_grad else output.detach().requires_grad_()
        if len(found) < len(model.layers):  # blocks that are run again on the way back add nothing
            found.append(output)
        return output

    hooks = [layer.down.register_forward_hook(catch) for layer in model.layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _kept_small(model: StudyModel) -> AbstractContextManager[None]:
    """Within, what gradients need of each block fits on a GPU."""
    return run_again(model) if model.device.type == "cuda" else nullcontext()


def run_again(model: StudyModel) -> AbstractContextManager[None]:
    """Within, blocks keep their inputs alone and are run again on the way back: more time, less memory."""

    def again(forward: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return other_forwards({block: again(block.forward) for block in model.blocks})


def _root(matrix: torch.Tensor) -> torch.Tensor:
    """A square root R of a matrix R'R, after a floor on the diagonal; any measures the same lengths."""
    mean = float(matrix.diagonal().mean())
    matrix.diagonal().add_(_FLOOR * mean or 1e-30)  # where no gradient arrives, nothing costs anything
    return torch.linalg.cholesky(matrix).T
