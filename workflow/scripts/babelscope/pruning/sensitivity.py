"""What the loss says about each layer: relative errors of a layer's output in nats per token, for budgets."""

from __future__ import annotations

import numpy as np
import torch

from babelscope.model.load import StudyModel
from babelscope.pruning.columns import Edit, apply_edits
from babelscope.pruning.compensation import RIDGES, FitSettings, correct_columns
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.moments import gather_moments
from babelscope.pruning.second_order import eliminate
from babelscope.pruning.selectors import Removals
from babelscope.pruning.walk import VALIDATION_SHARE, LayerWalk
from babelscope.text.tokens import TokenizedCorpus


def measure_sensitivity(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    settings: FitSettings,
    share: float,
) -> tuple[Removals, np.ndarray]:
    """Eliminate all neurons of every layer of the dense model, the errors in nats per token; the model stays.

    Each layer alone is cut to ``share`` of its neurons and compensated, and the loss of the validation
    documents is measured: its rise, over the relative error of the layer's output, turns the errors along the
    layer's order into nats. A rise below a tenth of the mean rise counts as that much.

    Parameters
    ----------
    model : dense.
    corpus, document_idx : profile documents; every fifth of them is for validation.
    settings : which tokens count.
    share : of each layer's neurons.

    Returns
    -------
    Orders and errors, and the rise of every layer, float64 (n_layers,).
    """
    rank, error, edits, at_share = [], [], [], []
    held = np.asarray(document_idx)[::VALIDATION_SHARE]
    with torch.inference_mode():
        walk = LayerWalk(model, corpus, document_idx, settings.first_token)
        for layer in model.layers:
            moments, weight = gather_moments(walk, settings), layer.down.weight
            found = eliminate(moments.whole.gram, weight, layer.d_ff)
            rank.append(found.rank(layer.d_ff))
            error.append(found.errors(layer.d_ff))
            n_kept = round(share * layer.d_ff)
            kept = np.flatnonzero(rank[-1] >= layer.d_ff - n_kept)
            at_share.append(float(found.error[: layer.d_ff - n_kept].sum()))
            columns, _ = correct_columns(moments, kept, weight, RIDGES[3])
            edits.append(Edit(kept, columns.to(weight.dtype)))
            walk.step()
    dense, rises = evaluate_documents(model, corpus, held).mean_nll, []
    for number, edit in enumerate(edits):
        with model.restored():
            apply_edits(model.layers[number : number + 1], [edit])
            rises.append(evaluate_documents(model, corpus, held).mean_nll - dense)
    rise = np.maximum(rises, 0.1 * max(float(np.mean(rises)), 1e-6))
    scale = rise / np.maximum(at_share, 1e-12)
    return Removals(np.stack(rank), np.stack(error) * scale[:, None]), np.array(rises)
