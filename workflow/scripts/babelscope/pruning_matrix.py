"""One language's loss under every language's experts: the causal test that experts are a language's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from babelscope.containers import ExpertPartition, TokenizedCorpus
from babelscope.evaluation import evaluate_documents
from babelscope.model_info import ModelInfo
from babelscope.models import find_ffn_layers, load_model
from babelscope.progress import progress
from babelscope.pruning import kept_neurons, prune, restored


def evaluate_under_experts(
    info: ModelInfo,
    compute: Mapping[str, Any],
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    choices: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Held-out losses of one language under several choices of experts, plain removal.

    Parameters
    ----------
    info, compute : the prepared model, and keyword arguments of ``load_model`` with ``tokens_per_batch``.
    corpus : documents of the language.
    partition : experts of the model.
    choices : by selection (``threshold``, ``same_size``) and name of the language or union whose experts are
        kept, bool (n_layers, n_experts).

    Returns
    -------
    ``n_predicted`` and ``n_bytes`` of each document, ``cells`` with ``selection``, ``experts_of``,
    ``proportion_kept`` and ``nll``, total nats of each document; the dense model is selection ``dense``.
    """
    options = dict(compute)
    tokens_per_batch = options.pop("tokens_per_batch")
    model = load_model(info, **options)
    layers = find_ffn_layers(model, info.family)
    heldout = corpus.heldout_idx
    n_real = int((np.diff(corpus.offsets)[heldout] + int(corpus.bos_token_id >= 0)).sum())
    cells = [("dense", "", np.ones((partition.n_layers, partition.n_experts), dtype=bool))]
    cells += [(sel, name, keep) for sel, table in choices.items() for name, keep in table.items()]
    result: dict[str, Any] = {"cells": []}
    with progress(n_real * len(cells), "tokens", "evaluating") as bar:
        for selection, name, keep in cells:
            with restored(layers):
                prune(layers, kept_neurons(keep, partition))
                losses = evaluate_documents(model, corpus, heldout, tokens_per_batch, bar.update)
            result["n_predicted"] = losses.n_predicted.tolist()
            result["n_bytes"] = losses.n_bytes.tolist()
            cell = {"selection": selection, "experts_of": name, "proportion_kept": float(keep.mean())}
            result["cells"].append(cell | {"nll": losses.nll.tolist()})
    return result
