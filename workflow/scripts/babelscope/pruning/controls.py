"""Controls of a language's experts: others, as many in each layer, removed and compensated the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.model.load import StudyModel
from babelscope.pruning.choice import draw_generator, expert_scores, keep_best_per_layer, keep_random
from babelscope.pruning.neuron_scores import output_norms, scale_norms
from babelscope.text.tokens import TokenizedCorpus


@dataclass(frozen=True)
class ControlSettings:
    """Numbers of controls.

    Attributes
    ----------
    n_random : random draws, removed plainly.
    n_compensated : random draws that are compensated as well; 0: no control is compensated.
    n_documents : profile documents that compensation is fitted to.
    seed : of the draws; each language has its own.
    n_heldout : held-out documents, the first ones, that are read under a control; None: all.
    paper_compensated : whether the paper's experts are compensated as well, where the finished model is one
        of neurons; compensated controls need it.
    n_partition : held-out documents, the first ones, that are read under plain removal with the experts of
        each equivalent partition.
    """

    n_random: int
    n_compensated: int
    n_documents: int
    seed: int
    n_heldout: int | None = None
    paper_compensated: bool = True
    n_partition: int = 0


def choose_controls(
    model: StudyModel,
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    keep: np.ndarray,
    frequency: np.ndarray,
    language: str,
    settings: ControlSettings,
    mean_square: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Experts of every control, as many in each layer as the language keeps.

    Parameters
    ----------
    model : dense.
    corpus, frequency : documents of the language, and how often it uses each expert.
    keep : experts of the language, bool (n_layers, n_experts).
    mean_square : of every neuron's activation on profile documents, float64 (n_layers, d_ff), as they were
        recorded; None: the model is run over some of them.

    Returns
    -------
    By name, bool (n_layers, n_experts): ``random_{number}``, ``output_norm`` (largest mean output of their
    neurons on profile documents), ``least_frequent`` where controls are compensated.
    """
    n_kept = keep.sum(axis=1)
    n_draws = max(settings.n_random, settings.n_compensated)
    chosen = {
        f"random_{number}": keep_random(
            n_kept, keep.shape[1], draw_generator(settings.seed, language, number)
        )
        for number in range(n_draws)
    }
    if mean_square is None:
        profile = corpus.profile_idx[: max(1, settings.n_documents // 4)]  # norms settle long before fits do
        neurons = output_norms(model, corpus, profile)
    else:
        neurons = scale_norms(model, mean_square)
    norms = expert_scores(neurons, partition.labels, partition.n_experts)
    chosen["output_norm"] = keep_best_per_layer(norms, n_kept)
    if settings.n_compensated:
        chosen["least_frequent"] = keep_best_per_layer(-frequency, n_kept)
    return chosen


def control_names(settings: ControlSettings) -> tuple[list[str], list[str]]:
    """Names of the controls that are removed plainly, and of those that are compensated."""
    plain = [*(f"random_{number}" for number in range(settings.n_random)), "output_norm"]
    if not settings.n_compensated:
        return plain, []
    draws = [f"random_{number}" for number in range(settings.n_compensated)]
    return plain, [*draws, "output_norm", "least_frequent"]
