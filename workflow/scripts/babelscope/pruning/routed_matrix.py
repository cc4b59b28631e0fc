"""One language's loss with every language's routed experts, and without them: the causal test for routers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.model.load import StudyModel
from babelscope.pruning.choice import draw_generator
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.routed import kept_size, masked_routers
from babelscope.pruning.routed_choice import (
    ROUTED_SELECTORS,
    RoutedStatistics,
    keep_for,
    remove_specific,
    share_of_choices,
)
from babelscope.study.progress import progress
from babelscope.text.tokens import TokenizedCorpus


def evaluate_routed(
    model: StudyModel,
    corpus: TokenizedCorpus,
    language: str,
    targets: Mapping[str, Sequence[str]],
    statistics: Mapping[str, RoutedStatistics],
    *,
    selector: str,
    share: float,
    n_random: int,
    seed: int,
) -> dict[str, Any]:
    """Held-out losses of one language, all models with as many experts in each layer.

    Selections: ``dense``; ``kept``, the experts of each target by the study's selector; ``removed``, all but
    the experts that each language chooses most beyond the others; ``random``, draws of this language's own;
    and this language's experts by every other row of ``ROUTED_SELECTORS``.

    Parameters
    ----------
    model : back as it was on return.
    corpus, language : the documents, of which the held-out ones are evaluated, and their language.
    targets : by name the languages that share a pruned model.
    statistics : by language. selector, share : ``pruning.routed_selector`` and ``pruning.share``.
    n_random, seed : draws, and their seed.

    Returns
    -------
    Content of ``routed_pruning/{lang}.json``.
    """
    n_kept, n_experts, groups = kept_size(model, share)
    own = statistics[language]

    def chosen(members: Sequence[str], name: str, *key: str | int) -> np.ndarray:
        rng = draw_generator(seed, "routed", language, name, *key)
        return keep_for([statistics[code] for code in members], name, n_kept, groups, rng)

    todo: list[tuple[str, str, np.ndarray | None]] = [("dense", "", None)]
    todo += [("kept", name, chosen(members, selector)) for name, members in targets.items()]
    for code, found in statistics.items():
        others = [statistics[other] for other in statistics if other != code]
        todo.append(("removed", code, remove_specific(found, others, n_kept, groups)))
    todo += [("random", str(draw), chosen([language], "random", draw)) for draw in range(n_random)]
    rest = [name for name in ROUTED_SELECTORS if name not in (selector, "random")]
    todo += [(name, language, chosen([language], name)) for name in rest]
    result: dict[str, Any] = {"n_experts": own.frequency.shape[1], "cells": []}
    with progress(len(todo), "models", "evaluating") as bar:
        for selection, name, keep in todo:
            if keep is None:
                losses = evaluate_documents(model, corpus, corpus.heldout_idx)
            else:
                with masked_routers(model, keep):
                    losses = evaluate_documents(model, corpus, corpus.heldout_idx)
            result |= {"n_predicted": losses.n_predicted.tolist(), "n_bytes": losses.n_bytes.tolist()}
            cell: dict[str, Any] = {"selection": selection, "experts_of": name}
            cell |= {"n_kept": n_experts if keep is None else n_kept, "nll": losses.nll.tolist()}
            cell["choices_lost"] = 0.0 if keep is None else share_of_choices(own, ~keep)
            if keep is not None and selection == "removed":
                cell["removed"] = np.argwhere(~keep).tolist()
            result["cells"].append(cell)
            bar.update(1)
    return result
