"""Perplexity of running text with a share of all parameters removed: the rows of published tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.cut import count_parameters
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.methods import METHODS
from babelscope.study.progress import logger, progress
from babelscope.text.running import cut_windows
from babelscope.text.tokenise import load_encoder
from babelscope.text.tokens import TokenizedCorpus

PERPLEXITY_COLUMNS = (
    "method", "removed", "parameters_removed", "ffn_parameters_kept", "perplexity", "nll",
    "nll_standard_error", "n_windows", "window",
)  # fmt: skip


@dataclass(frozen=True)
class PerplexitySettings:
    """What is measured.

    Attributes
    ----------
    window, calibration_windows, text_windows, prefix_every_window : see ``perplexity`` in the configuration.
    removed : shares of all parameters. methods : rows of ``METHODS``.
    seed : decides which windows of the calibration text are taken.
    """

    window: int
    calibration_windows: int
    text_windows: int
    prefix_every_window: bool
    removed: Sequence[float]
    methods: Sequence[str]
    seed: int


def measure_perplexity(
    info: ModelInfo, compute: Compute, calibration: str, text: str, settings: PerplexitySettings
) -> list[dict[str, Any]]:
    """Prune to every size by every method, fitted to windows of one text, and measure another.

    Only feed-forward layers are cut, the same share of each. Perplexity is the exponential of the mean loss
    of the windows' predicted tokens, as in published tables.

    Returns
    -------
    Rows of ``perplexity.csv``, the dense model first. A row whose share of parameters cannot come from the
    feed-forward layers has no perplexity.
    """
    encode = load_encoder(info)

    def windows(running: str) -> TokenizedCorpus:
        ids = np.asarray(encode(running)[0])
        prefix = settings.prefix_every_window
        return cut_windows(ids, settings.window, info.bos_token_id, prefix_every_window=prefix)

    fitted, measured = windows(calibration), windows(text)
    n = len(fitted.heldout)
    order = np.random.default_rng(settings.seed).permutation(n)
    chosen = np.sort(order[: settings.calibration_windows])
    model = load_model(info, compute)
    cases = [(method, removed) for removed in settings.removed for method in settings.methods]
    rows = [_measure(model, measured, settings, "dense", 0.0)]
    with progress(len(cases), "models", "perplexity") as bar:
        for method, removed in cases:
            share = share_to_keep(model, removed)
            row: dict[str, Any] = {"method": method, "removed": removed}
            if share <= 0:
                logger.warning("%.0f %% of the parameters are more than the FFN has", 100 * removed)
                rows.append(dict.fromkeys(PERPLEXITY_COLUMNS) | row)
            else:
                dense = count_parameters(model)
                with model.restored():
                    choose = METHODS[method].choice(model, fitted, chosen, share)
                    settled = METHODS[method].settings(info.family)
                    prune_and_compensate(model, fitted, chosen, choose, settings=settled)
                    left = count_parameters(model)
                    row = _measure(model, measured, settings, method, removed)
                row["parameters_removed"] = 1 - left.total / dense.total
                rows.append(row | {"ffn_parameters_kept": left.ffn / dense.ffn})
            bar.update(1)
    return rows


def share_to_keep(model: StudyModel, removed: float) -> float:
    """Share of the neurons that stay where a share of all parameters goes; not above 0: there are too few."""
    count = count_parameters(model)
    return 1 - removed * count.total / count.ffn


def _measure(
    model: StudyModel, corpus: TokenizedCorpus, settings: PerplexitySettings, method: str, removed: float
) -> dict[str, Any]:
    idx = np.arange(len(corpus.heldout))[: settings.text_windows or None]
    losses = evaluate_documents(model, corpus, idx)
    return {
        "method": method,
        "removed": removed,
        "parameters_removed": 0.0,
        "ffn_parameters_kept": 1.0,
        "perplexity": losses.perplexity,
        "nll": losses.mean_nll,
        "nll_standard_error": losses.standard_error if len(idx) > 1 else None,
        "n_windows": len(idx),
        "window": settings.window,
    }
