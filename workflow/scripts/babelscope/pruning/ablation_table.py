"""The table of targeted ablation: damage to a language by the loss of its own units, beyond all controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.pruning.ablation import KINDS, SPECIFIC
from babelscope.pruning.damage import ResampledText, with_interval
from babelscope.statistics.ratios import mean_interval

ABLATION_COLUMNS = (
    "kind", "language", "n_units", "n_controls", "own", "others", "own_minus_others", "low", "high",
    "control_own", "control_others", "control_own_minus_others", "beyond_control", "beyond_control_low",
    "beyond_control_high",
)  # fmt: skip
ALL = "all"


def tabulate_ablations(results: Mapping[str, Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Rows of ``ablation.csv``, bits per byte above the dense model.

    ``own`` is the damage to a language by the removal of its specific units, ``others`` the mean damage to
    all other languages by the same removal; the columns of the control are means over matched sets.
    ``beyond_control`` is ``own_minus_others`` less that of the control: what is the language's own and not
    just as large. Intervals (95 %) are over documents, those of one language being resampled together for all
    sets; in the row ``all`` over languages (Student's t).

    Parameters
    ----------
    results : of ``evaluate_ablations`` by language of the text. seed : of the resampling.
    """
    damage = _Damage(results, seed)
    rows = []
    for kind in KINDS:
        own = [row for row in (damage.row(kind, code) for code in results) if row is not None]
        rows += own
        if len(own) > 1:
            rows.append(_over_languages(kind, own))
    return rows


class _Damage:
    """Damage of every text by every set, of the documents as they are (first) and resampled."""

    def __init__(self, results: Mapping[str, Mapping[str, Any]], seed: int) -> None:
        self.sets: dict[tuple[str, str, str], int] = {}
        self.damage: dict[tuple[str, str, str, str], np.ndarray] = {}
        for number, (text, result) in enumerate(results.items()):
            rng = np.random.default_rng([seed, number])
            resampled = ResampledText(result["n_bytes"], result["dense"], rng)
            for cell in result["cells"]:
                key = (cell["kind"], cell["language"], cell["set"])
                self.sets[key] = cell["n_units"]
                self.damage[(*key, text)] = resampled.damage(cell["nll"])
        self.texts = list(results)

    def _parts(self, kind: str, code: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        others = [self.damage[kind, code, name, text] for text in self.texts if text != code]
        return self.damage[kind, code, name, code], np.mean(others, axis=0)

    def row(self, kind: str, code: str) -> dict[str, Any] | None:
        """The row of one language; None where it has no specific unit."""
        if (kind, code, SPECIFIC) not in self.sets:
            return None
        own, others = self._parts(kind, code, SPECIFIC)
        names = [name for k, c, name in self.sets if (k, c) == (kind, code) and name != SPECIFIC]
        row: dict[str, Any] = dict.fromkeys(ABLATION_COLUMNS)
        row |= {"kind": kind, "language": code, "n_units": self.sets[kind, code, SPECIFIC]}
        row |= {"n_controls": len(names), "own": float(own[0]), "others": float(others[0])}
        row |= with_interval("own_minus_others", own - others, "low", "high")
        if names:
            parts = [self._parts(kind, code, name) for name in names]
            control_own, control_others = np.mean(parts, axis=0)
            difference = control_own - control_others
            row |= {"control_own": float(control_own[0]), "control_others": float(control_others[0])}
            row["control_own_minus_others"] = float(difference[0])
            beyond = own - others - difference
            row |= with_interval("beyond_control", beyond, "beyond_control_low", "beyond_control_high")
        return row


def _over_languages(kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over languages, with intervals over languages."""
    row: dict[str, Any] = dict.fromkeys(ABLATION_COLUMNS)
    row |= {"kind": kind, "language": ALL, "n_units": sum(own["n_units"] for own in rows)}
    row["n_controls"] = min(own["n_controls"] for own in rows)
    for name in ABLATION_COLUMNS[4:]:
        values = [own[name] for own in rows]
        if None not in values and not name.endswith(("low", "high")):
            row[name] = float(np.mean(values))
    for name, low, high in (
        ("own_minus_others", "low", "high"),
        ("beyond_control", "beyond_control_low", "beyond_control_high"),
    ):
        if row[name] is not None:
            mean, half = mean_interval(np.array([own[name] for own in rows]))
            row |= {low: mean - half, high: mean + half}
    return row
