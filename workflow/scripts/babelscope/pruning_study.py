"""One language's held-out loss: dense, with high-frequency experts only, and with random ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from babelscope.containers import ExpertPartition, TokenizedCorpus
from babelscope.evaluation import DocumentLosses, evaluate_documents
from babelscope.model_info import ModelInfo
from babelscope.models import find_ffn_layers, load_model
from babelscope.progress import progress
from babelscope.pruning import count_parameters, kept_neurons, prune, restored
from babelscope.selection import keep_frequent, keep_random


def evaluate_language(
    info: ModelInfo,
    compute: Mapping[str, Any],
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    frequency: np.ndarray,
    *,
    threshold: float,
    n_random: int,
    seed: int,
) -> dict[str, Any]:
    """Evaluate one language on its held-out documents.

    Parameters
    ----------
    info, compute : the prepared model, and keyword arguments of ``load_model`` with ``tokens_per_batch``.
    corpus : documents of the language.
    partition, frequency : experts, and how often this language uses them.
    threshold : frequency from which an expert is kept.
    n_random : random controls with as many experts in each layer.
    seed : of the first random control.
    """
    options = dict(compute)
    tokens_per_batch = options.pop("tokens_per_batch")
    model = load_model(info, **options)
    layers = find_ffn_layers(model, info.family)
    keep = keep_frequent(frequency, threshold)
    choices = {"dense": np.ones_like(keep), "pruned": keep}
    for number in range(n_random):
        rng = np.random.default_rng([seed, number])
        choices[f"random_{number}"] = keep_random(keep.sum(axis=1), keep.shape[1], rng)
    dense, losses, sizes = count_parameters(model, layers), {}, {}
    heldout = corpus.heldout_idx
    n_real = int((np.diff(corpus.offsets)[heldout] + int(corpus.bos_token_id >= 0)).sum())
    with progress(n_real * len(choices), "tokens", "evaluating") as bar:
        for name, choice in choices.items():
            with restored(layers):
                prune(layers, kept_neurons(choice, partition))
                sizes[name] = count_parameters(model, layers)
                losses[name] = evaluate_documents(model, corpus, heldout, tokens_per_batch, bar.update)
    random_nll = [losses[f"random_{number}"].mean_nll for number in range(n_random)]
    return {
        "threshold": threshold,
        "proportion_high": float(keep.mean()),
        "n_documents": len(heldout),
        "n_predicted": int(losses["dense"].n_predicted.sum()),
        **_columns(losses, "dense", "pruned"),
        "nll_random_mean": float(np.mean(random_nll)),
        "ffn_parameters_kept": sizes["pruned"].ffn / dense.ffn,
        "parameters_kept": sizes["pruned"].total / dense.total,
    }


def _columns(losses: Mapping[str, DocumentLosses], *names: str) -> dict[str, float]:
    table: dict[str, float] = {}
    for column in ("mean_nll", "standard_error", "perplexity", "bits_per_byte"):
        short = {"mean_nll": "nll", "standard_error": "nll_standard_error"}.get(column, column)
        table |= {f"{short}_{name}": getattr(losses[name], column) for name in names}
    return table
