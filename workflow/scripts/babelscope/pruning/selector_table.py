"""The table of the causal test: whose selected units matter for one language more than random ones do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.pruning.damage import ResampledText, mean_nll, resample_texts, with_interval
from babelscope.pruning.selectors import SELECTORS
from babelscope.statistics.ratios import mean_interval

ALL, RANDOM = "all", "random"
# Estimates with an interval, and what stands before _low and _high.
ESTIMATES = ("own", "others", "specificity", "own_less_random", "beyond_random")
PLAIN = (
    "nll_own", "nll_others", "nll_dense_own", "nll_dense_others", "random_own", "random_others",
    "random_specificity",
)  # fmt: skip
SELECTOR_COLUMNS = (
    "selector", "language", "units", "share", "compensation", *PLAIN[:4],
    *(name + end for name in ESTIMATES[:3] for end in ("", "_low", "_high")),
    "n_draws", *PLAIN[4:], *(name + end for name in ESTIMATES[3:] for end in ("", "_low", "_high")),
    "verdict", "reference",
)  # fmt: skip
MORE, LESS, UNDECIDED = "more than random", "less than random", "undecided"
_CASE = ("units", "share", "compensation")


def tabulate_selectors(results: Mapping[str, Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Rows of ``selectors.csv``; differences are bits per byte above the dense model.

    ``own`` is what the language loses whose units are selected, ``others`` the mean loss of the other
    languages. ``specificity`` is ``others`` less ``own`` where the selected units alone are kept, and ``own``
    less ``others`` where they are removed: above 0 the units are the language's own. ``random_…`` is the mean
    of random draws of as many units per layer, ``beyond_random`` the specificity above theirs,
    ``own_less_random`` the own loss below (negative) or above theirs. ``verdict`` is of ``beyond_random``.
    Intervals (95 %) are over documents, those of one text being resampled together for all variants; in rows
    of language ``all`` over languages (Student's t).

    Parameters
    ----------
    results : of ``run_causal_test`` by language. seed : of the resampling.
    """
    rows: list[dict[str, Any]] = []
    for number, (language, result) in enumerate(results.items()):
        rows += _Language(language, result, (seed, number)).rows()
    cases = list(dict.fromkeys((row["selector"], *(row[name] for name in _CASE)) for row in rows))
    for case in cases if len(results) > 1 else []:
        own = [row for row in rows if (row["selector"], *(row[name] for name in _CASE)) == case]
        rows.append(_over_languages(own))
    return rows


class _Language:
    """The rows of one language's units."""

    def __init__(self, language: str, result: Mapping[str, Any], seed: Sequence[int]) -> None:
        self.language, self.result = language, result
        self.texts: dict[str, ResampledText] = resample_texts(result, seed)
        self.cells: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for cell in result["cells"]:
            key = (cell["selector"], *(cell[name] for name in _CASE))
            self.cells.setdefault(key, []).append(cell)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each selector, number and compensation; draws are averaged."""
        return [self._row(*key) for key in self.cells]

    def _damage(self, key: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray]:
        """To the language itself and to the others, means over draws."""
        tables = [
            {text: found.damage(cell["nll"][text]) for text, found in self.texts.items()}
            for cell in self.cells[key]
        ]
        own = np.mean([table[self.language] for table in tables], axis=0)
        others = [values for table in tables for text, values in table.items() if text != self.language]
        return own, np.mean(others, axis=0)

    def _nll(self, key: tuple[Any, ...]) -> tuple[float, float]:
        """Nats per token of the language itself and of the others, means over draws."""
        tables = [cell["nll"] for cell in self.cells[key]]
        return self._split({text: np.mean([table[text] for table in tables], axis=0) for text in self.texts})

    def _split(self, nll: Mapping[str, Any]) -> tuple[float, float]:
        means = {text: mean_nll(values, self.result["n_predicted"][text]) for text, values in nll.items()}
        own = means.pop(self.language)
        return own, float(np.mean(list(means.values())))

    def _row(self, selector: str, units: str, share: float, compensation: str) -> dict[str, Any]:
        key, control = (selector, units, share, compensation), (RANDOM, units, share, compensation)
        sign = 1 if units == "kept" else -1
        own, others = self._damage(key)
        row: dict[str, Any] = dict.fromkeys(SELECTOR_COLUMNS)
        row |= {"selector": selector, "language": self.language, "reference": SELECTORS[selector].reference}
        row |= {"units": units, "share": share, "compensation": compensation}
        row["nll_own"], row["nll_others"] = self._nll(key)
        row["nll_dense_own"], row["nll_dense_others"] = self._split(self.result["dense"])
        row |= _estimate("own", own) | _estimate("others", others)
        row |= _estimate("specificity", sign * (others - own))
        if control in self.cells:
            random_own, random_others = self._damage(control)
            row |= {"n_draws": len(self.cells[control]), "random_own": float(random_own[0])}
            row["random_others"] = float(random_others[0])
            row["random_specificity"] = sign * (row["random_others"] - row["random_own"])
            if selector != RANDOM:
                beyond = sign * (others - own - random_others + random_own)
                row |= _estimate("own_less_random", own - random_own) | _estimate("beyond_random", beyond)
                row["verdict"] = _verdict(row)
        return row


def _estimate(name: str, values: np.ndarray) -> dict[str, float]:
    return with_interval(name, values, f"{name}_low", f"{name}_high")


def _verdict(row: Mapping[str, Any]) -> str:
    if row["beyond_random_low"] > 0:
        return MORE
    return LESS if row["beyond_random_high"] < 0 else UNDECIDED


def _over_languages(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over languages of one selector, with intervals over languages."""
    row: dict[str, Any] = {**rows[0], "language": ALL}
    for name in PLAIN:
        if row[name] is not None:
            row[name] = float(np.mean([own[name] for own in rows]))
    for name in ESTIMATES:
        if row[name] is not None:
            mean, half = mean_interval(np.array([own[name] for own in rows]))
            row |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
    if row["beyond_random"] is not None:
        row["verdict"] = _verdict(row)
    return row
