"""One language's held-out loss: dense, with its own experts only, compensated, and with random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import load_model
from babelscope.pruning.choice import choose_experts, keep_random, keep_union
from babelscope.pruning.compensation import LayerFit, prune_and_compensate
from babelscope.pruning.cut import count_parameters, kept_neurons
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.losses import DocumentLosses
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger, progress
from babelscope.text.tokens import TokenizedCorpus, join_profiles


@dataclass(frozen=True)
class Choice:
    """How experts are chosen; see ``choose_experts``."""

    method: str
    threshold: float
    share: float

    def experts(self, frequencies: Sequence[np.ndarray]) -> np.ndarray:
        """Experts that at least one of the languages keeps, bool (n_layers, n_experts)."""
        keep = keep_union([choose_experts(f, self.method, self.threshold, self.share) for f in frequencies])
        empty = np.flatnonzero(~keep.any(axis=1))
        if len(empty):
            logger.warning("layers %s keep no expert at all", empty.tolist())
        if not keep.any():
            raise BabelscopeError(f"{self}: no expert is kept; lower the threshold or raise the share")
        return keep


def plan_pruning(
    info: ModelInfo,
    compute: Compute,
    corpora: Sequence[TokenizedCorpus],
    partition: ExpertPartition,
    frequencies: Sequence[np.ndarray],
    choice: Choice,
    n_documents: int,
) -> tuple[PruningPlan, list[LayerFit]]:
    """Choose the experts of one language, or of several together, and fit the compensation.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpora, frequencies : documents and expert frequencies of each language.
    partition : experts of the model.
    choice : which experts to keep.
    n_documents : profile documents that the compensation is fitted to, shared out among the languages.
    """
    corpus = join_profiles(corpora, max(1, n_documents // len(corpora)))
    neuron_idx = kept_neurons(choice.experts(frequencies), partition)
    model = load_model(info, compute)
    n_real = len(corpus.token_ids) + len(corpus.heldout) * int(corpus.bos_token_id >= 0)
    with progress(n_real * info.n_layers, "token-layers", "compensating") as bar:
        fits = prune_and_compensate(model, corpus, corpus.profile_idx, neuron_idx, bar.update)
    keep = np.zeros((info.n_layers, info.d_ff), dtype=bool)
    for row, idx in zip(keep, neuron_idx, strict=True):
        row[idx] = True
    down = tuple(layer.down.weight.cpu() for layer in model.layers)
    return PruningPlan(keep, down), fits


def evaluate_language(
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    plan: PruningPlan,
    *,
    n_random: int,
    seed: int,
) -> dict[str, Any]:
    """Evaluate one language on its held-out documents.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus : documents of the language.
    partition : experts of the model, for the random controls.
    plan : which neurons stay, and the corrected columns.
    n_random : random controls with as many experts in each layer.
    seed : of the random controls.
    """
    model = load_model(info, compute)
    keep = _kept_experts(plan, partition)
    plans = {
        "dense": PruningPlan(np.ones_like(plan.keep)),
        "pruned": PruningPlan(plan.keep),
        "compensated": plan,
    }
    for number in range(n_random):
        rng = np.random.default_rng([seed, number])
        chosen = keep_random(keep.sum(axis=1), keep.shape[1], rng)
        mask = np.take_along_axis(chosen, partition.labels, axis=1)
        plans[f"random_{number}"] = PruningPlan(mask)
    dense, losses, sizes = count_parameters(model), {}, {}
    heldout = corpus.heldout_idx
    n_real = int((np.diff(corpus.offsets)[heldout] + int(corpus.bos_token_id >= 0)).sum())
    with progress(n_real * len(plans), "tokens", "evaluating") as bar:
        for name, one in plans.items():
            with model.restored():
                apply_plan(model.layers, one)
                sizes[name] = count_parameters(model)
                losses[name] = evaluate_documents(model, corpus, heldout, bar.update)
    random_nll = [losses[f"random_{number}"].mean_nll for number in range(n_random)]
    gap = losses["pruned"].mean_nll - losses["dense"].mean_nll
    closed = losses["pruned"].mean_nll - losses["compensated"].mean_nll
    return {
        "proportion_high": float(keep.mean()),
        **_columns(losses, "dense", "pruned", "compensated"),
        "gap_closed": closed / gap if gap > 0 else None,
        "nll_random_mean": float(np.mean(random_nll)),
        "nll_random_sd": float(np.std(random_nll, ddof=1)) if n_random > 1 else None,
        "n_random": n_random,
        "n_documents": len(heldout),
        "n_predicted": int(losses["dense"].n_predicted.sum()),
        "ffn_parameters_kept": sizes["pruned"].ffn / dense.ffn,
        "parameters_kept": sizes["pruned"].total / dense.total,
        "documents": {name: loss.nll.tolist() for name, loss in losses.items()}
        | {"n_predicted": losses["dense"].n_predicted.tolist(), "n_bytes": losses["dense"].n_bytes.tolist()},
    }


def _kept_experts(plan: PruningPlan, partition: ExpertPartition) -> np.ndarray:
    """Experts whose neurons stay, bool (n_layers, n_experts)."""
    rows = zip(plan.keep, partition.labels, strict=True)
    return np.stack([np.bincount(l_, k, partition.n_experts) > 0 for k, l_ in rows])


def _columns(losses: Mapping[str, DocumentLosses], *names: str) -> dict[str, float]:
    table: dict[str, float] = {}
    for column in ("mean_nll", "standard_error", "perplexity", "bits_per_byte"):
        short = {"mean_nll": "nll", "standard_error": "nll_standard_error"}.get(column, column)
        table |= {f"{short}_{name}": getattr(losses[name], column) for name in names}
    return table
