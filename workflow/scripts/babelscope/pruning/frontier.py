"""Held-out loss against the share of experts that is kept, for each way to choose them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.choice import CHOICES, expert_scores, keep_best, keep_best_per_layer, keep_random
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.cut import count_parameters, kept_neurons, prune
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.neuron_scores import output_norms, weight_norms
from babelscope.study.progress import progress
from babelscope.text.tokens import TokenizedCorpus

COMPENSATED = "most_frequent_compensated"
# Beside the choices by frequency: those that look at outputs or weights, and controls.
OTHER_METHODS = ("output_norm_experts", "output_norm_neurons", "weight_norm", "random", "least_frequent")


def frontier_methods() -> list[str]:
    """Every choice of the table that takes a share, the compensated one, and the other methods."""
    first, *others = [name for name, choice in CHOICES.items() if choice.takes_share]
    return [first, COMPENSATED, *others, *OTHER_METHODS]


def trace_frontier(
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    frequency: np.ndarray,
    shares: Sequence[float],
    *,
    n_heldout: int,
    n_profile: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Evaluate every method at every share.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus, frequency : documents of one language, and how often it uses each expert.
    partition : experts of the model.
    shares : of experts (or neurons) to keep.
    n_heldout : held-out documents to evaluate on; the first ones.
    n_profile : profile documents for the compensation and the norms of outputs.
    seed : of the random choice.

    Returns
    -------
    Rows of ``pruning_frontier.csv`` without the language; the dense model is method ``dense``.
    """
    model = load_model(info, compute)
    profile, heldout = corpus.profile_idx[:n_profile], corpus.heldout_idx[:n_heldout]
    dense = count_parameters(model).ffn
    choose = _choices(model, corpus, profile, partition, frequency, seed)
    methods = frontier_methods()
    rows = []
    with progress(1 + len(methods) * len(shares), "models", "frontier") as bar:
        for method, share in [("dense", 1.0), *((m, s) for m in methods for s in shares)]:
            with model.restored():
                if method == COMPENSATED:
                    idx = choose["most_frequent"](share)
                    prune_and_compensate(model, corpus, profile, idx)
                elif method != "dense":
                    prune(model.layers, choose[method](share))
                losses = evaluate_documents(model, corpus, heldout)
                kept = count_parameters(model).ffn / dense
            rows.append(
                {
                    "method": method,
                    "share": share,
                    "ffn_parameters_kept": kept,
                    "nll": losses.mean_nll,
                    "nll_standard_error": losses.standard_error,
                    "n_predicted": int(losses.n_predicted.sum()),
                }
            )
            bar.update(1)
    return rows


def _choices(
    model: StudyModel,
    corpus: TokenizedCorpus,
    profile: np.ndarray,
    partition: ExpertPartition,
    frequency: np.ndarray,
    seed: int,
) -> dict[str, Callable[[float], list[np.ndarray]]]:
    """For each method the neurons that it keeps at a share."""
    n_layers, n_experts = frequency.shape
    outputs = output_norms(model, corpus, profile)
    said = expert_scores(outputs, partition.labels, n_experts)
    weights = expert_scores(weight_norms(model.layers), partition.labels, n_experts)
    rng = np.random.default_rng(seed)

    def even(share: float) -> np.ndarray:
        return np.full(n_layers, round(share * n_experts))

    def total(share: float) -> int:
        return round(share * frequency.size)

    by_experts: dict[str, Callable[[float], np.ndarray]] = {
        **{
            name: lambda s, choice=choice: choice.keep(frequency, 0.0, s)  # type: ignore[misc]
            for name, choice in CHOICES.items()
            if choice.takes_share
        },
        "output_norm_experts": lambda s: keep_best_per_layer(said, even(s)),
        "weight_norm": lambda s: keep_best_per_layer(weights, even(s)),
        "random": lambda s: keep_random(even(s), n_experts, rng),
        "least_frequent": lambda s: keep_best(-frequency, total(s)),
    }
    choices: dict[str, Callable[[float], list[np.ndarray]]] = {
        name: lambda s, choose=choose: kept_neurons(choose(s), partition)  # type: ignore[misc]
        for name, choose in by_experts.items()
    }
    choices["output_norm_neurons"] = lambda s: [
        np.flatnonzero(row) for row in keep_best_per_layer(outputs, [round(s * outputs.shape[1])] * n_layers)
    ]
    return choices
