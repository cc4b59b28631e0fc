"""One language's loss under every language's experts: the causal test that experts are a language's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import load_model
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.cut import kept_neurons, prune
from babelscope.pruning.evaluate import Choice
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.study.progress import progress
from babelscope.text.tokens import TokenizedCorpus


def choose_for_targets(
    choices: Mapping[str, Mapping[str, Any]],
    targets: Mapping[str, Sequence[str]],
    frequency: Mapping[str, np.ndarray],
) -> dict[str, dict[str, np.ndarray]]:
    """The experts that each language or union keeps, by several choices.

    Parameters
    ----------
    choices : by selection the keyword arguments of ``Choice``.
    targets : by name the languages that share a pruned model.
    frequency : by language float64 (n_layers, n_experts).

    Returns
    -------
    By selection and target, bool (n_layers, n_experts).
    """
    return {
        selection: {
            target: Choice(**choice).experts([frequency[language] for language in members])
            for target, members in targets.items()
        }
        for selection, choice in choices.items()
    }


def evaluate_under_experts(
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    choices: Mapping[str, Mapping[str, np.ndarray]],
    plans: Mapping[str, PruningPlan],
    n_profile: int,
    n_heldout: int | None = None,
) -> dict[str, Any]:
    """Held-out losses of one language under the experts of every language.

    Plain removal measures what removal breaks as much as what the experts are for. So there are two more
    selections: ``compensated``, the other language's finished model, corrected on its own text; and
    ``same_size_corrected``, as many experts of each language, all corrected on profile documents of the
    language that is read, so that nothing but the choice of experts differs (a union keeps more, and is left
    out).

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus : documents of the language.
    partition : experts of the model.
    choices : by selection (``threshold``, ``same_size``) and name of the language or union whose experts are
        kept, bool (n_layers, n_experts); removed plainly.
    plans : by name of the language or union, its compensated model.
    n_profile : profile documents that the experts of ``choices["same_size"]`` are corrected on.
    n_heldout : held-out documents to read, the first ones; None: all.

    Returns
    -------
    ``n_predicted`` and ``n_bytes`` of each document, ``cells`` with ``selection``, ``experts_of``,
    ``proportion_kept`` (of neurons) and ``nll``, total nats of each document; the dense model is selection
    ``dense``.
    """
    model = load_model(info, compute)
    heldout, profile = corpus.heldout_idx[:n_heldout], corpus.profile_idx[:n_profile]
    result: dict[str, Any] = {"cells": []}

    def plain(keep: np.ndarray) -> Callable[[], object]:
        return lambda: prune(model.layers, kept_neurons(keep, partition))

    def corrected(keep: np.ndarray) -> Callable[[], object]:
        idx = kept_neurons(keep, partition)
        return lambda: prune_and_compensate(model, corpus, profile, idx)

    def finished(plan: PruningPlan) -> Callable[[], object]:
        return lambda: apply_plan(model.layers, plan)

    todo: list[tuple[str, str, Callable[[], object]]] = [("dense", "", lambda: None)]
    for selection, table in choices.items():
        todo += [(selection, name, plain(keep)) for name, keep in table.items()]
    todo += [("compensated", name, finished(plan)) for name, plan in plans.items()]
    same_size = choices.get("same_size", {})
    alike = [name for name, keep in same_size.items() if keep.sum() == min(map(np.sum, same_size.values()))]
    todo += [("same_size_corrected", name, corrected(same_size[name])) for name in alike]
    with progress(len(todo), "models", "evaluating") as bar:
        for selection, name, change in todo:
            with model.restored():
                change()
                n_kept = sum(layer.d_ff for layer in model.layers)
                losses = evaluate_documents(model, corpus, heldout)
            result["n_predicted"] = losses.n_predicted.tolist()
            result["n_bytes"] = losses.n_bytes.tolist()
            share = n_kept / (info.n_layers * info.d_ff)
            cell = {"selection": selection, "experts_of": name, "proportion_kept": share}
            result["cells"].append(cell | {"nll": losses.nll.tolist()})
            bar.update(1)
    return result
