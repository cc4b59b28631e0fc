"""Compensation: the kept neurons of a layer take over what the removed ones did on average.

For each layer, from the first to the last and through the layers already pruned, the columns of the down
projection that are kept (and a bias) are fitted by ridge least squares to the output of the whole layer,

    min over D, b of  sum_t w_t |W h_t - (W_K + D) h_Kt - b|^2 + ridge * |D|^2,

where ``h_t`` are the activations of token t, K the kept neurons and W the down projection. Only second
moments of ``h`` are needed. The ridge is chosen for each layer on profile documents that the fit has not
seen. Held-out documents are never touched. The result has the pruned shape and no new parameters but the
bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.batching import make_batches
from babelscope.containers import TokenizedCorpus
from babelscope.ffn import find_family
from babelscope.models import FfnLayer, base_model, input_device
from babelscope.pruning import prune

RIDGES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
# Every fifth profile document chooses the ridge.
VALIDATION_SHARE = 5


@dataclass(frozen=True)
class LayerFit:
    """What the fit of one layer says.

    Attributes
    ----------
    ridge : chosen, relative to the mean second moment of the kept neurons.
    unexplained_plain : share of the removed neurons' output that is missing after plain removal, on the
        validation documents: 1 by definition up to the choice of weights.
    unexplained : the same after compensation, in [0, 1] where it helps.
    """

    ridge: float
    unexplained: float


def prune_and_compensate(
    model: nn.Module,
    layers: Sequence[FfnLayer],
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    neuron_idx: Sequence[np.ndarray],
    tokens_per_batch: int,
    *,
    bias: bool = True,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> list[LayerFit]:
    """Prune the model in place, each layer fitted to what the whole layer would have said.

    Parameters
    ----------
    model, layers : with all neurons; changed in place.
    corpus, document_idx : profile documents that the statistics are taken from.
    neuron_idx : neurons to keep in each layer, int64 (n_kept,), ascending.
    tokens_per_batch : rows x length of a batch.
    bias : whether a bias is fitted too.
    on_progress : called with tokens done; in all, each token is counted once for every layer.

    Returns
    -------
    The fit of every layer that lost neurons, in order.
    """
    blocks = model.get_submodule(find_family(str(model.config.model_type), ()).layers)  # type: ignore[union-attr]
    fits = []
    with torch.inference_mode():
        batches = list(_catch(model, blocks, corpus, document_idx, tokens_per_batch))
        for number, (block, layer, idx) in enumerate(zip(blocks, layers, neuron_idx, strict=True)):  # type: ignore[arg-type]
            if len(idx) != layer.d_ff:
                moments = [_Moments(layer.d_ff, layer.down.weight.device) for _ in range(2)]
                for batch in batches:
                    for activations, output, part in _activations(block, layer, batch, number):
                        moments[part].add(activations, output)
                fits.append(_fit(layer, idx, moments, bias))
            for batch in batches:
                batch.hidden = _call(block, batch, number)
                on_progress(int(batch.real.sum()))
    return fits


@dataclass
class _CaughtBatch:
    """Hidden states on their way through the layers, with the arguments each layer was called with."""

    hidden: torch.Tensor  # (document, position, d_model)
    real: torch.Tensor  # bool (document, position)
    validation: torch.Tensor  # bool (document,)
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]


class _Moments:
    """Weighted second moments of activations with a constant 1 behind them."""

    def __init__(self, d_ff: int, device: torch.device) -> None:
        self.sum = torch.zeros((d_ff + 1, d_ff + 1), dtype=torch.float64, device=device)

    def add(self, activations: torch.Tensor, weight: torch.Tensor) -> None:
        one = torch.ones_like(activations[:, :1])
        rows = torch.cat([activations, one], dim=1).float() * weight.sqrt()[:, None]
        self.sum += (rows.T @ rows).double()


def _catch(
    model: nn.Module,
    blocks: nn.Module,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    tokens_per_batch: int,
) -> Iterator[_CaughtBatch]:
    """Run the dense model once per batch and keep what each layer was called with."""
    device = input_device(model)
    rank = {int(idx): number for number, idx in enumerate(document_idx)}
    for batch in make_batches(corpus, document_idx, tokens_per_batch):
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        hooks = [
            block.register_forward_pre_hook(
                lambda _module, args, kwargs, calls=calls: calls.append((args, kwargs)), with_kwargs=True
            )
            for block in blocks  # type: ignore[attr-defined]
        ]
        try:
            base_model(model)(input_ids=torch.from_numpy(batch.token_ids).to(device), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        hidden = calls[0][0][0] if calls[0][0] else calls[0][1]["hidden_states"]
        arguments = [_without_hidden(*call) for call in calls]
        validation = [rank[int(idx)] % VALIDATION_SHARE == 0 for idx in batch.document_idx]
        real = torch.from_numpy(batch.real_mask()).to(device)
        yield _CaughtBatch(hidden, real, torch.tensor(validation, device=device), arguments)


def _without_hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"}


def _call(block: nn.Module, batch: _CaughtBatch, number: int) -> torch.Tensor:
    args, kwargs = batch.arguments[number]
    output = block(batch.hidden, *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output


def _activations(
    block: nn.Module, layer: FfnLayer, batch: _CaughtBatch, number: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    """Activations of a layer's real tokens and their weights, fit documents (0) and validation (1) apart."""
    seen: list[torch.Tensor] = []
    hook = layer.down.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    try:
        _call(block, batch, number)
    finally:
        hook.remove()
    activations = seen[0].reshape(*batch.real.shape, -1)
    for part, chosen in enumerate((~batch.validation, batch.validation)):
        rows = activations[batch.real & chosen[:, None]]
        if len(rows):
            yield rows, _token_weights(block, layer, rows), part


def _token_weights(block: nn.Module, layer: FfnLayer, activations: torch.Tensor) -> torch.Tensor:
    """Weight of every token's error, (n_tokens,).

    Where the layer's output is normalised before it joins the residual stream (Gemma 2 and 3), an error
    counts relative to the size of the output; elsewhere all errors count alike.
    """
    if not hasattr(block, "post_feedforward_layernorm"):
        return torch.ones(len(activations), dtype=torch.float32, device=activations.device)
    output = layer.down(activations).float()
    return 1.0 / output.square().mean(dim=1).clamp_min(1e-12)


def _fit(layer: FfnLayer, idx: np.ndarray, moments: Sequence[_Moments], bias: bool) -> LayerFit:
    """Cut the layer and put the fitted columns and bias in place."""
    weight = layer.down.weight.double()  # (d_model, d_ff)
    d_ff = weight.shape[1]
    kept = torch.from_numpy(np.asarray(idx, dtype=np.int64)).to(weight.device)
    mask = torch.ones(d_ff, dtype=torch.bool, device=weight.device)
    mask[kept] = False
    removed = mask.nonzero()[:, 0]
    regressors = torch.cat([kept, kept.new_tensor([d_ff])]) if bias else kept
    lost = weight[:, removed]  # what the regressors have to make up for
    best = min(
        (
            (
                _error(
                    moments[1],
                    regressors,
                    removed,
                    lost,
                    _solve(moments[:1], regressors, removed, lost, ridge, bias),
                ),
                ridge,
            )
            for ridge in RIDGES
        ),
    )
    plain = _error(
        moments[1],
        regressors,
        removed,
        lost,
        torch.zeros_like(_solve(moments[:1], regressors, removed, lost, 1.0, bias)),
    )
    correction = _solve(moments, regressors, removed, lost, best[1], bias)  # (d_model, regressor)
    prune([layer], [idx])
    n_kept = len(kept)
    dtype = layer.down.weight.dtype
    columns = layer.down.weight.double() + correction[:, :n_kept]
    layer.down.weight = nn.Parameter(columns.to(dtype), requires_grad=False)
    if bias:
        old = 0.0 if layer.down.bias is None else layer.down.bias.double()
        layer.down.bias = nn.Parameter((old + correction[:, n_kept]).to(dtype), requires_grad=False)
    return LayerFit(best[1], float(best[0] / plain) if plain > 0 else 0.0)


def _solve(
    moments: Sequence[_Moments],
    regressors: torch.Tensor,
    removed: torch.Tensor,
    lost: torch.Tensor,
    ridge: float,
    bias: bool,
) -> torch.Tensor:
    total = torch.stack([moment.sum for moment in moments]).sum(dim=0) if len(moments) > 1 else moments[0].sum
    gram = total[regressors][:, regressors].clone()
    n_columns = len(regressors) - int(bias)
    diagonal = gram.diagonal()
    scale = diagonal[:n_columns].mean().clamp_min(1e-30) if n_columns else diagonal.new_tensor(1.0)
    diagonal[:n_columns] += ridge * scale
    if bias:
        diagonal[n_columns:] += 1e-9 * diagonal[n_columns:]
    target = total[regressors][:, removed] @ lost.T  # (regressor, d_model)
    return torch.linalg.solve(gram, target).T


def _error(
    moments: _Moments,
    regressors: torch.Tensor,
    removed: torch.Tensor,
    lost: torch.Tensor,
    correction: torch.Tensor,
) -> float:
    """Weighted squared error of the layer's output that is left, from second moments alone."""
    both = torch.cat([removed, regressors])
    combined = torch.cat([lost, -correction], dim=1)
    return float(((combined @ moments.sum[both][:, both]) * combined).sum())
