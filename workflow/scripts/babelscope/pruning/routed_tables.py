"""The table of pruned mixtures of experts: ``routed_pruning.csv``; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.files.kind import Kind
from babelscope.pruning.losses import DocumentLosses
from babelscope.statistics.ratios import Z, ratio_with_error

ROUTED_PRUNING = Kind(
    "routed_pruning",
    "routed_pruning/{lang}.json",
    "evaluate_routed",
    ("model", "language"),
    fields={
        "model": "name of the model",
        "language": "code of the language of the text",
        "n_predicted, n_bytes": "one value per held-out document",
        "n_experts": "routed experts of a layer",
        "cells": "by whose experts and selection: n_kept; choices_lost, share of the language's choices in "
        "its profile text that went to the experts that are gone; nll, one value per held-out text; where "
        "selection is removed also removed, layer (of those with routers) and number of the experts gone",
    },
)
ROUTED_COLUMNS = (
    "language", "experts_of", "selection", "n_kept", "n_experts", "choices_lost", "nll", "bits_per_byte",
    "rise", "rise_low", "rise_high", "over_random", "over_random_low", "over_random_high", "n_predicted",
)  # fmt: skip


def tabulate_routed(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``routed_pruning.csv``: losses in nats per token, with 95 % intervals over held-out documents.

    ``rise`` is over the dense model; ``over_random`` over the mean of the random draws of the same size;
    ``choices_lost`` is the share of the language's choices that went to the experts that are gone.

    Parameters
    ----------
    results : of ``evaluate_routed``, with their language, one per language.
    """
    return [row for result in results for row in _of_language(result)]


def _of_language(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    n_predicted = np.asarray(result["n_predicted"], dtype=np.float64)
    cells = result["cells"]
    dense = np.asarray(next(cell["nll"] for cell in cells if cell["selection"] == "dense"))
    draws = [cell["nll"] for cell in cells if cell["selection"] == "random"]
    random = np.mean(draws, axis=0) if draws else None
    rows = []
    for cell in cells:
        nll = np.asarray(cell["nll"])
        losses = DocumentLosses(nll, np.asarray(result["n_predicted"]), np.asarray(result["n_bytes"]))
        row = {name: cell[name] for name in ("experts_of", "selection", "n_kept", "choices_lost")}
        row |= {"language": result["language"], "n_experts": result["n_experts"]}
        row |= {"nll": losses.mean_nll, "bits_per_byte": losses.bits_per_byte}
        row |= {"n_predicted": int(losses.n_predicted.sum())}
        row |= _difference("rise", nll - dense, n_predicted)
        of_random = cell["selection"] not in ("dense", "random") and random is not None
        row |= _difference("over_random", nll - random if of_random else None, n_predicted)
        rows.append(row)
    return rows


def _difference(name: str, nll: np.ndarray | None, n_predicted: np.ndarray) -> dict[str, float | None]:
    if nll is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    value, error = ratio_with_error(nll, n_predicted)
    return {name: value, f"{name}_low": value - Z * error, f"{name}_high": value + Z * error}
