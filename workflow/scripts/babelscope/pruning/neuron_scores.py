"""Scores of single neurons that other pruning methods use: size of weights, size of output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from babelscope.model.layers import FfnLayer
from babelscope.model.load import StudyModel
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


def output_norms(model: StudyModel, corpus: TokenizedCorpus, document_idx: np.ndarray) -> np.ndarray:
    """Root mean square of a neuron's output: of its activation times the norm of its column in down.

    The structured counterpart of Wanda (Sun et al. 2023, weight times norm of its input).

    Parameters
    ----------
    model : dense; back as it was on return.
    corpus, document_idx : documents whose tokens count, all with the same weight.

    Returns
    -------
    float64 (n_layers, d_ff).
    """
    columns = [layer.down.weight for layer in model.layers]
    squares = [torch.zeros(w.shape[1], dtype=torch.float64, device=w.device) for w in columns]
    real = torch.zeros(0)
    caught: list[torch.Tensor] = []  # of this batch, by layer

    def see(_layer: int, activations: torch.Tensor) -> None:
        rows = activations[real.flatten().to(activations.device)]
        caught.append(rows.float().square().sum(dim=0))

    def run(batch: Batch) -> None:
        nonlocal real
        real = torch.from_numpy(batch.real_mask())
        caught.clear()
        model.hidden(batch.token_ids)
        for total, new in zip(squares, caught, strict=True):
            total += new.to(total.device)

    n_tokens = int(np.diff(corpus.offsets)[document_idx].sum())
    with model.activations(see):
        run_batches(model, corpus, document_idx, run)
    return scale_norms(model, np.stack([(total / n_tokens).cpu().numpy() for total in squares]))


def scale_norms(model: StudyModel, mean_square: np.ndarray) -> np.ndarray:
    """As ``output_norms``, out of the activations' mean squares, float64 (n_layers, d_ff)."""
    columns = [layer.down.weight.double().norm(dim=0).cpu().numpy() for layer in model.layers]
    return np.sqrt(mean_square) * np.stack(columns)
