"""One language's loss without the units that are specific to each language, and without their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import load_model
from babelscope.pruning.ablation import removed_mask
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.variants import losses_without
from babelscope.study.progress import progress
from babelscope.text.tokens import TokenizedCorpus


def evaluate_ablations(
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    ablations: Sequence[Mapping[str, Any]],
    n_heldout: int,
) -> dict[str, Any]:
    """Held-out losses of one language under every ablation.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus : documents of the language.
    ablations : rows of ``choose_ablations``.
    n_heldout : held-out documents to evaluate on; the first ones.

    Returns
    -------
    ``n_predicted`` and ``n_bytes`` of each document; ``dense``, total nats of each document; ``cells``, the
    rows of ``ablations`` with ``nll`` (the same) in place of their neurons.
    """
    model = load_model(info, compute)
    heldout = corpus.heldout_idx[:n_heldout]
    dense = evaluate_documents(model, corpus, heldout)
    kept = [[np.flatnonzero(~row) for row in removed_mask(a["neurons"], info.d_ff)] for a in ablations]
    with progress(info.n_layers, "layers", "ablating") as bar:
        found = losses_without(model, corpus, heldout, kept, bar.update)
    cells = []
    for row, (losses, _) in zip(ablations, found, strict=True):
        cell = {name: value for name, value in row.items() if name != "neurons"}
        cells.append(cell | {"nll": losses.nll.tolist()})
    return {
        "n_predicted": dense.n_predicted.tolist(),
        "n_bytes": dense.n_bytes.tolist(),
        "dense": dense.nll.tolist(),
        "cells": cells,
    }
