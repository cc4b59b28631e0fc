"""Scores of single neurons that other pruning methods use: size of weights, size of what is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from babelscope.model.load import FfnLayer, base_model, input_device
from babelscope.text.batches import Batch
from babelscope.text.fitting import run_batches
from babelscope.text.tokens import TokenizedCorpus


def weight_norms(layers: Sequence[FfnLayer]) -> np.ndarray:
    """Product of the norms of a neuron's rows in up (and gate) and of its column in down.

    Returns
    -------
    float64 (n_layers, d_ff).
    """
    scores = []
    for layer in layers:
        parts = [layer.up.weight] if layer.gate is None else [layer.up.weight, layer.gate.weight]
        if layer.fused_gate:
            parts = list(layer.up.weight.chunk(2))
        norm = layer.down.weight.double().norm(dim=0)
        for rows in parts:
            norm = norm * rows.double().norm(dim=1)
        scores.append(norm.cpu().numpy())
    return np.stack(scores)


def output_norms(
    model: nn.Module,
    layers: Sequence[FfnLayer],
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    tokens_per_batch: int,
) -> np.ndarray:
    """Root mean square of a neuron's output: of its activation times the norm of its column in down.

    The structured counterpart of Wanda (Sun et al. 2023, weight times norm of its input).

    Parameters
    ----------
    model, layers : dense; back as it was on return.
    corpus, document_idx : documents whose tokens count, all alike.
    tokens_per_batch : rows x length of a batch; halved where memory runs out.

    Returns
    -------
    float64 (n_layers, d_ff).
    """
    device = input_device(model)
    squares = [
        torch.zeros(layer.d_ff, dtype=torch.float64, device=layer.down.weight.device) for layer in layers
    ]
    real = torch.zeros(0)
    caught: list[torch.Tensor] = []  # of this batch, by layer

    def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        rows = args[0].reshape(-1, args[0].shape[-1])[real.flatten().to(args[0].device)]
        caught.append(rows.float().square().sum(dim=0))

    def run(batch: Batch) -> None:
        nonlocal real
        real = torch.from_numpy(batch.real_mask())
        caught.clear()
        with torch.inference_mode():
            base_model(model)(input_ids=torch.from_numpy(batch.token_ids).to(device), use_cache=False)
        for total, new in zip(squares, caught, strict=True):
            total += new.to(total.device)

    hooks = [layer.down.register_forward_pre_hook(before_down) for layer in layers]
    n_tokens = int(np.diff(corpus.offsets)[document_idx].sum())
    try:
        run_batches(corpus, document_idx, tokens_per_batch, run)
    finally:
        for hook in hooks:
            hook.remove()
    scores = [
        (total / n_tokens).sqrt() * layer.down.weight.double().norm(dim=0)
        for layer, total in zip(layers, squares, strict=True)
    ]
    return np.stack([score.cpu().numpy() for score in scores])
