"""One language's held-out loss: dense, with its own experts only, compensated, and under the controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import load_model
from babelscope.pruning.choice import choose_experts, keep_union
from babelscope.pruning.compensation import FitSettings, LayerFit, prune_and_compensate
from babelscope.pruning.control_tables import CONTROLS, PARTITION, draws_of
from babelscope.pruning.controls import ControlSettings, choose_controls, control_names
from babelscope.pruning.cut import count_parameters, kept_neurons, prune
from babelscope.pruning.heldout import OutputLayer
from babelscope.pruning.layer_costs import LayerCosts
from babelscope.pruning.losses import DocumentLosses, unigram_losses
from babelscope.pruning.methods import METHODS
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.study.errors import BabelscopeError
from babelscope.study.gpus import give_back_gpus
from babelscope.study.progress import logger, progress
from babelscope.text.tokens import TokenizedCorpus, documents_of_each, join_corpora, join_profiles

PAPER = "threshold"
_MODELS = ("dense", "pruned", "compensated", "finished", "distilled")  # the rest are controls


@dataclass(frozen=True)
class Choice:
    """How experts or neurons are chosen.

    Attributes
    ----------
    method : a row of ``CHOICES``, see ``choose_experts``; or one of ``METHODS``, which choose neurons.
    threshold, share : of frequency; of experts, or of each layer's neurons, to keep.
    """

    method: str
    threshold: float
    share: float

    @property
    def of_neurons(self) -> bool:
        """Whether it chooses neurons, not experts."""
        return self.method in METHODS

    def experts(self, frequencies: Sequence[np.ndarray]) -> np.ndarray:
        """Experts that at least one of the languages keeps, bool (n_layers, n_experts).

        Of a method that chooses neurons, the paper's: those above the threshold.

        Raises
        ------
        BabelscopeError
            Where no expert is kept.
        """
        method = PAPER if self.of_neurons else self.method
        keep = keep_union([choose_experts(f, method, self.threshold, self.share) for f in frequencies])
        empty = np.flatnonzero(~keep.any(axis=1))
        if len(empty):
            logger.warning("layers %s keep no expert at all", empty.tolist())
        if not keep.any():
            raise BabelscopeError(f"{self}: no expert is kept; lower the threshold or raise the share")
        return keep

    def settings(self, info: ModelInfo) -> FitSettings:
        """How columns are fitted."""
        return METHODS[self.method].settings(info.family) if self.of_neurons else FitSettings()

    def plain_removal(self, frequencies: Sequence[np.ndarray], partition: ExpertPartition) -> PruningPlan:
        """The model without all other experts, uncorrected; see ``experts``."""
        return PruningPlan(
            np.stack(
                [row[labels] for row, labels in zip(self.experts(frequencies), partition.labels, strict=True)]
            )
        )


def plan_pruning(
    info: ModelInfo,
    compute: Compute,
    corpora: Sequence[TokenizedCorpus],
    partition: ExpertPartition,
    frequencies: Sequence[np.ndarray],
    choice: Choice,
    n_documents: int,
    others: Sequence[TokenizedCorpus] = (),
    n_pooled: int = 0,
    costs: LayerCosts | None = None,
) -> tuple[PruningPlan, list[LayerFit]]:
    """Choose what one language keeps, or several together, and fit the compensation.

    Experts are those that any of the languages keeps; neurons are chosen on the documents of all.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpora, frequencies : documents and expert frequencies of each language.
    partition : experts of the model.
    choice : what to keep.
    n_documents : profile documents that the compensation is fitted to, shared out among the languages.
    others, n_pooled : documents of other languages, and how many profile documents of each are pooled in.
    costs : of the model's neurons, for methods that size layers by them; None: measured on the documents of
        these languages.
    """
    own = join_profiles(corpora, documents_of_each(n_documents, corpora))
    pooled = join_profiles(others, n_pooled) if others and n_pooled else None
    experts = None if choice.of_neurons else kept_neurons(choice.experts(frequencies), partition)
    fits, down = _pruned(info, compute, own, pooled, choice, experts, costs)
    give_back_gpus()
    keep = np.zeros((info.n_layers, info.d_ff), dtype=bool)
    for row, fit in zip(keep, fits, strict=True):
        row[fit.kept] = True
    return PruningPlan(keep, down), fits


def _pruned(
    info: ModelInfo,
    compute: Compute,
    own: TokenizedCorpus,
    pooled: TokenizedCorpus | None,
    choice: Choice,
    neurons: Any,
    costs: LayerCosts | None,
) -> tuple[list[LayerFit], tuple[torch.Tensor, ...]]:
    """The fits and the corrected columns, on the host; the model is gone afterwards.

    ``neurons`` to keep; None: chosen as ``choice`` says.
    """
    n_own, pooled_idx, corpus = len(own.heldout), None, own
    if pooled is not None:
        corpus = join_corpora([own, pooled])
        pooled_idx = np.arange(n_own, len(corpus.heldout))
    model = load_model(info, compute, many_tokens=True)
    if neurons is None:
        neurons = METHODS[choice.method].choice(model, own, np.arange(n_own), choice.share, costs)
    n_real = len(corpus.token_ids) + len(corpus.heldout) * int(corpus.bos_token_id >= 0)
    with progress(n_real * info.n_layers, "token-layers", "compensating") as bar:
        asked = (neurons, bar.update, choice.settings(info), pooled_idx)
        fits = prune_and_compensate(model, corpus, np.arange(n_own), *asked)
    return fits, tuple(layer.down.weight.cpu() for layer in model.layers)


def evaluate_language(
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    plan: PruningPlan,
    frequency: np.ndarray,
    language: str,
    controls: ControlSettings,
    choice: Choice | None = None,
    partitions: Mapping[str, tuple[ExpertPartition, np.ndarray]] | None = None,
    mean_square: np.ndarray | None = None,
    distilled: PruningPlan | None = None,
) -> dict[str, Any]:
    """Evaluate one language on its held-out documents: its experts, their controls, its finished model.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus, frequency, language : documents of the language, how often it uses each expert, and its code.
    partition : experts of the model, for the controls.
    plan : the language's finished model.
    controls : how many there are.
    choice : that made the plan. Where it is one of neurons, the columns of plain removal, of compensation and
        of the controls are of the paper's experts, compensation where ``controls`` ask for it; otherwise, and
        for None, of the plan's experts, and the finished model is the compensated one.
    partitions : by name of an equivalent partition, it and how often the language uses its experts; the
        choice of these is removed plainly as well.
    mean_square : see ``choose_controls``.
    distilled : the finished model after distillation, where there is one.

    Returns
    -------
    One row of ``pruning.csv``, with ``documents``: total nats of each held-out document under each model. Of
    controls that read the first documents alone the loss is that of the chosen experts on all documents and
    the difference from it on those (difference estimator): comparable with the other columns.
    """
    model = load_model(info, compute, many_tokens=True)
    experts = None if choice is None or not choice.of_neurons else choice.experts([frequency])
    keep = _kept_experts(plan, partition) if experts is None else experts
    own = kept_neurons(keep, partition)
    profile = corpus.profile_idx[: controls.n_documents]
    chosen = choose_controls(model, corpus, partition, keep, frequency, language, controls, mean_square)
    changes: dict[str, Callable[[], object]] = {
        "dense": lambda: None,
        "pruned": lambda: prune(model.layers, own),
        "compensated": lambda: prune_and_compensate(model, corpus, profile, own),
        "finished": lambda: apply_plan(model.layers, plan),
    }
    asked = controls.paper_compensated or controls.n_compensated > 0
    if experts is None or not asked:
        del changes["compensated"]
    if distilled is not None:
        changes["distilled"] = partial(apply_plan, model.layers, distilled)
    for name, (other, used) in (partitions or {}).items():
        idx = kept_neurons((choice or Choice(PAPER, 0.05, 1.0)).experts([used]), other)
        changes[f"{PARTITION}{name}"] = partial(prune, model.layers, idx)
    plain, compensated = control_names(controls)
    for name in plain:
        idx = kept_neurons(chosen[name], partition)
        changes[name] = partial(prune, model.layers, idx)
    for name in compensated:
        idx = kept_neurons(chosen[name], partition)
        changes[f"{name}_compensated"] = partial(prune_and_compensate, model, corpus, profile, idx)
    dense, losses, sizes = count_parameters(model), {}, {}
    heldout = corpus.heldout_idx
    read = {name: heldout if name in _MODELS else heldout[: controls.n_heldout] for name in changes}
    read |= {name: heldout[: controls.n_partition] for name in changes if name.startswith(PARTITION)}
    lengths = np.diff(corpus.offsets) + int(corpus.bos_token_id >= 0)
    layer = OutputLayer(model)
    with progress(sum(int(lengths[idx].sum()) for idx in read.values()), "tokens", "evaluating") as bar:
        for name, change in changes.items():
            with model.restored():
                change()
                sizes[name] = count_parameters(model)
                losses[name] = layer.read(corpus, read[name], bar.update)
        layer.finish()
    if experts is None:
        losses["compensated"] = losses["finished"]
    n_vocabulary = len(model.head.weight)
    documents = {name: loss.nll.tolist() for name, loss in losses.items()}
    return {
        "proportion_high": float(keep.mean()),
        **_columns(losses, *_MODELS),
        **_rises(losses, *_MODELS[1:]),
        "nll_unigram": unigram_losses(corpus, losses["dense"], n_vocabulary).mean_nll,
        "nll_uniform": float(np.log(n_vocabulary)),
        **_control_columns(losses),
        "n_partitions": 1 + len(partitions or {}),
        "n_empty_layers": int((~keep.any(axis=1)).sum()),
        "n_documents": len(heldout),
        "n_predicted": int(losses["dense"].n_predicted.sum()),
        "ffn_parameters_kept": sizes["pruned"].ffn / dense.ffn,
        "parameters_kept": sizes["pruned"].total / dense.total,
        "ffn_parameters_kept_finished": sizes["finished"].ffn / dense.ffn,
        "empty_layers": np.flatnonzero(~keep.any(axis=1)).tolist(),
        "documents": documents
        | {"n_predicted": losses["dense"].n_predicted.tolist(), "n_bytes": losses["dense"].n_bytes.tolist()},
    }


def _kept_experts(plan: PruningPlan, partition: ExpertPartition) -> np.ndarray:
    """Experts whose neurons stay, bool (n_layers, n_experts)."""
    rows = zip(plan.keep, partition.labels, strict=True)
    return np.stack([np.bincount(l_, k, partition.n_experts) > 0 for k, l_ in rows])


def _columns(losses: Mapping[str, DocumentLosses], *names: str) -> dict[str, float | None]:
    """Losses by column; None for a model that was not evaluated."""
    table: dict[str, float | None] = {}
    for column in ("mean_nll", "standard_error", "perplexity", "bits_per_byte"):
        short = {"mean_nll": "nll", "standard_error": "nll_standard_error"}.get(column, column)
        table |= {
            f"{short}_{name}": getattr(losses[name], column) if name in losses else None for name in names
        }
    return table


def _rises(losses: Mapping[str, DocumentLosses], *names: str) -> dict[str, float | None]:
    """Loss above that of the dense model, nats per token, with standard errors over documents."""
    table: dict[str, float | None] = {}
    for name in names:
        if name not in losses:
            table |= {f"rise_{name}": None, f"rise_standard_error_{name}": None}
            continue
        rise, error = losses[name].rise_over(losses["dense"])
        table |= {f"rise_{name}": rise, f"rise_standard_error_{name}": error if np.isfinite(error) else None}
    return table


def _control_loss(control: DocumentLosses, chosen: DocumentLosses) -> float:
    """Loss of a control as of all documents, nats per token, where it may have read the first ones alone."""
    return chosen.mean_nll + control.mean_nll - chosen.first(len(control.nll)).mean_nll


def _control_columns(losses: Mapping[str, DocumentLosses]) -> dict[str, float | int | None]:
    """Losses under the controls; those with draws as mean, spread, and how often they are better."""
    table: dict[str, float | int | None] = {}
    for control, against in CONTROLS.items():
        nll = np.array([_control_loss(losses[name], losses[against]) for name in draws_of(losses, control)])
        if not control.startswith("random"):
            table[f"nll_{control}"] = float(nll[0]) if len(nll) else None
            continue
        table[f"nll_{control}_mean"] = float(nll.mean()) if len(nll) else None
        table[f"nll_{control}_sd"] = float(nll.std(ddof=1)) if len(nll) > 1 else None
        table[f"n_{control}"] = len(nll)
        better = float((nll < losses[against].mean_nll).mean()) if len(nll) else None
        table[f"p_{control}_beats_chosen"] = better
    return table
