"""The table of speeds: which pruned models are timed, for which languages each stands, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from babelscope.pruning.pruned_model import PruningPlan


@dataclass(frozen=True)
class SpeedRow:
    """One row of ``pruning_speed.csv``; ``ratio`` is sliced over dense.

    ``ideal_ratio`` is the ratio of multiplications in prefill, and of the bytes of weights and cache that are
    read in decoding, of the sliced model before its widths are rounded up. Prefill fills the cache without
    the output layer, which belongs to decoding. ``sliced_weight_bytes`` is what the model takes as it runs,
    ``*_peak_bytes`` that and the most that a pass of the phase takes on top, cache included. ``spread`` is
    the interquartile range of the ratios of the turns over their median, ``noisy`` whether it is above
    ``NOISY_SPREAD`` in any so many turns in a row. ``turns`` are the ratios of the turns, ``languages`` those
    whose models have these widths: that of ``language`` was timed for all.
    """

    language: str
    phase: str
    batch_size: int
    dense_tokens_per_second: float
    sliced_tokens_per_second: float
    ratio: float
    ideal_ratio: float
    share_of_ideal: float
    dense_weight_bytes: int
    sliced_weight_bytes: int
    dense_peak_bytes: int
    sliced_peak_bytes: int
    spread: float
    noisy: bool
    turns: tuple[float, ...] = ()
    languages: tuple[str, ...] = ()


def same_widths(plans: Mapping[str, PruningPlan]) -> dict[str, list[str]]:
    """Languages whose models have equal widths in every layer, by the first of them: one timing does."""
    found: dict[tuple[int, ...], list[str]] = {}
    for language, plan in plans.items():
        found.setdefault(tuple(np.asarray(plan.keep).sum(axis=1).tolist()), []).append(language)
    return {languages[0]: languages for languages in found.values()}


def choose_models(n_kept: Mapping[str, int], which: str) -> list[str]:
    """Which models are timed, in the order given.

    Parameters
    ----------
    n_kept : neurons that stay, by language.
    which : ``extremes``: the smallest, the (lower) median and the largest, all of three or fewer;
        ``smallest``: it alone; ``all``.
    """
    ranked = sorted(n_kept, key=lambda language: n_kept[language])
    chosen = {
        "extremes": {ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]},
        "smallest": {ranked[0]},
        "all": set(ranked),
    }[which]
    return [language for language in n_kept if language in chosen]


def speed_table(rows: Sequence[SpeedRow]) -> str:
    """CSV text, one line per row."""
    names = [field.name for field in fields(SpeedRow)]
    lines = [",".join(_cell(getattr(row, name)) for name in names) for row in rows]
    return "\n".join([",".join(names), *lines]) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_cell, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
