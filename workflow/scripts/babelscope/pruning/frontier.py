"""Held-out loss against the share of experts that is kept, for each way to choose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.choice import (
    CHOICES,
    draw_generator,
    expert_scores,
    keep_best,
    keep_best_per_layer,
    keep_random,
)
from babelscope.pruning.cut import count_parameters, kept_neurons
from babelscope.pruning.losses import DocumentLosses
from babelscope.pruning.neuron_scores import output_norms, weight_norms
from babelscope.pruning.variants import losses_compensated, losses_without
from babelscope.study.progress import progress
from babelscope.text.tokens import TokenizedCorpus

COMPENSATED = "most_frequent_compensated"
# Beside the choices by frequency: those that look at outputs or weights, and controls.
OTHER_METHODS = (
    "output_norm_experts",
    "output_norm_neurons",
    "weight_norm",
    "random",
    "random_same_layers",
    "least_frequent",
)
# Of several draws each: as many in every layer, and in the layer sizes that frequency makes.
RANDOM_METHODS = ("random", "random_same_layers")


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
    language: str,
    shares: Sequence[float],
    *,
    n_heldout: int,
    n_profile: int,
    n_draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Evaluate every method at every share.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus, frequency, language : documents of one language, how often it uses each expert, its code.
    partition : experts of the model.
    shares : of experts (or neurons) to keep.
    n_heldout : held-out documents to evaluate on; the first ones.
    n_profile : profile documents for the compensation and the norms of outputs.
    n_draws : of each random choice.
    seed : of the random choices; languages, shares and draws have their own.

    Returns
    -------
    Rows of ``pruning_frontier.csv`` without the language; the dense model is method ``dense``. ``draw`` is
    None where nothing is drawn, ``empty_layers`` names the layers that keep nothing.
    """
    model = load_model(info, compute)
    profile, heldout = corpus.profile_idx[:n_profile], corpus.heldout_idx[:n_heldout]
    dense = count_parameters(model).ffn
    choose = _choices(model, corpus, profile, partition, frequency, (seed, language))
    todo: list[tuple[str, float, int | None]] = [("dense", 1.0, None)]
    for method, share in ((m, s) for m in frontier_methods() for s in shares):
        draws = range(n_draws) if method in RANDOM_METHODS else [None]
        todo += [(method, share, draw) for draw in draws]
    kept = [_kept(choose, model, *one) for one in todo]
    plain = [number for number, (method, *_) in enumerate(todo) if method != COMPENSATED]
    corrected = [number for number in range(len(todo)) if number not in plain]
    losses: dict[int, tuple[DocumentLosses, int]] = {}
    with progress((1 + len(corrected)) * info.n_layers, "layers", "frontier") as bar:
        found = losses_without(model, corpus, heldout, [kept[number] for number in plain], bar.update)
        losses |= zip(plain, found, strict=True)
        for number in corrected:
            losses[number] = losses_compensated(model, corpus, heldout, kept[number], profile, bar.update)
    rows = []
    for number, (method, share, draw) in enumerate(todo):
        lost, n_parameters = losses[number]
        empty = [layer for layer, idx in enumerate(kept[number]) if len(idx) == 0]
        rows.append(
            {
                "method": method,
                "share": share,
                "ffn_parameters_kept": n_parameters / dense,
                "nll": lost.mean_nll,
                "nll_standard_error": lost.standard_error,
                "n_predicted": int(lost.n_predicted.sum()),
                "draw": draw,
                "empty_layers": " ".join(map(str, empty)),
            }
        )
    return rows


def _kept(
    choose: Mapping[str, Callable[[float, int | None], list[np.ndarray]]],
    model: StudyModel,
    method: str,
    share: float,
    draw: int | None,
) -> list[np.ndarray]:
    """Neurons of each layer that one model of the frontier keeps."""
    if method == "dense":
        return [np.arange(layer.d_ff) for layer in model.layers]
    return choose["most_frequent" if method == COMPENSATED else method](share, draw)


def _choices(
    model: StudyModel,
    corpus: TokenizedCorpus,
    profile: np.ndarray,
    partition: ExpertPartition,
    frequency: np.ndarray,
    seed: tuple[int, str],
) -> dict[str, Callable[[float, int | None], list[np.ndarray]]]:
    """For each method the neurons that it keeps at a share, in one draw if it is random."""
    n_layers, n_experts = frequency.shape
    outputs = output_norms(model, corpus, profile)
    said = expert_scores(outputs, partition.labels, n_experts)
    weights = expert_scores(weight_norms(model.layers), partition.labels, n_experts)

    def random(method: str, sizes: np.ndarray, share: float, draw: int | None) -> np.ndarray:
        return keep_random(sizes, n_experts, draw_generator(*seed, method, share, draw or 0))

    def even(share: float) -> np.ndarray:
        return np.full(n_layers, round(share * n_experts))

    def total(share: float) -> int:
        return round(share * frequency.size)

    def frequent(share: float) -> np.ndarray:
        return CHOICES["most_frequent"].keep(frequency, 0.0, share).sum(axis=1)

    by_experts: dict[str, Callable[[float, int | None], np.ndarray]] = {
        **{
            name: lambda s, _, choice=choice: choice.keep(frequency, 0.0, s)  # type: ignore[misc]
            for name, choice in CHOICES.items()
            if choice.takes_share
        },
        "output_norm_experts": lambda s, _: keep_best_per_layer(said, even(s)),
        "weight_norm": lambda s, _: keep_best_per_layer(weights, even(s)),
        "random": lambda s, d: random("random", even(s), s, d),
        "random_same_layers": lambda s, d: random("random_same_layers", frequent(s), s, d),
        "least_frequent": lambda s, _: keep_best(-frequency, total(s)),
    }
    choices: dict[str, Callable[[float, int | None], list[np.ndarray]]] = {
        name: lambda s, d, choose=choose: kept_neurons(choose(s, d), partition)  # type: ignore[misc]
        for name, choose in by_experts.items()
    }
    choices["output_norm_neurons"] = lambda s, _: [
        np.flatnonzero(row) for row in keep_best_per_layer(outputs, [round(s * outputs.shape[1])] * n_layers)
    ]
    return choices
