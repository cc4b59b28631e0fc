"""Scores of single neurons that other pruning methods use: size of weights, size of what is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from babelscope.model.load import FfnLayer, base_model, input_device
from babelscope.text.batches import make_batches
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
    tokens_per_batch : rows x length of a batch.

    Returns
    -------
    float64 (n_layers, d_ff).
    """
    device = input_device(model)
    squares = [
        torch.zeros(layer.d_ff, dtype=torch.float64, device=layer.down.weight.device) for layer in layers
    ]
    real = torch.zeros(0)

    def listen(total: torch.Tensor):
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            rows = args[0].reshape(-1, len(total))[real.flatten().to(total.device)]
            total.add_(rows.float().square().sum(dim=0))

        return before_down

    hooks = [
        layer.down.register_forward_pre_hook(listen(total))
        for layer, total in zip(layers, squares, strict=True)
    ]
    n_tokens = 0
    try:
        for batch in make_batches(corpus, document_idx, tokens_per_batch):
            real = torch.from_numpy(batch.real_mask())
            n_tokens += int(real.sum())
            with torch.inference_mode():
                base_model(model)(input_ids=torch.from_numpy(batch.token_ids).to(device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    scores = [
        (total / n_tokens).sqrt() * layer.down.weight.double().norm(dim=0)
        for layer, total in zip(layers, squares, strict=True)
    ]
    return np.stack([score.cpu().numpy() for score in scores])
