"""The statistics that decide the paper's claims, batched over bootstrap replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.study.languages import Language

PAPER_LAYERS = 32
PAPER_MEASURES = ("euclidean", "kl", "pearson")
# contrasts of distances that the claims name, and the value at which two sides are equal
CONTRASTS = {
    "between_within": 1.0,
    "english_romance": 0.0,
    "english_distinct": 0.0,
    "arabic_indic": 0.0,
    "chinese_romance": 0.0,
}
# layers of Llama 2 7B, first and last, as the claims name them
PAPER_BANDS = {"early": (0, 25), "late": (26, 31), "first": (0, 1), "middle": (2, 25)}

# natural range of each statistic; a bias correction must not leave it
RANGES: dict[str, tuple[float | None, float | None]] = {
    "low_late": (0, 1),
    "between_within": (0, None),
    "share_all": (0, 1),
    "share_none": (0, 1),
    "table_3_distance": (0, 1),
    "ffn_saved": (0, 1),
}


@dataclass(frozen=True)
class Setting:
    """Inputs of a set of statistics."""

    measure: str = "euclidean"
    threshold: float = 0.05


@dataclass(frozen=True)
class Roles:
    """Indices of the languages that the claims name; empty where the study has none."""

    romance: list[int]
    indic: list[int]
    english: list[int]
    arabic: list[int]
    chinese: list[int]


def find_roles(languages: Sequence[Language]) -> Roles:
    """Romance and Indic by genus, English, Arabic and Chinese by code."""
    genus = {
        name: [i for i, row in enumerate(languages) if row.genus == name] for name in ("Romance", "Indic")
    }
    code = {name: [i for i, row in enumerate(languages) if row.code == name] for name in ("en", "ar", "zh")}
    return Roles(genus["Romance"], genus["Indic"], code["en"], code["ar"], code["zh"])


def map_layers(first: int, last: int, n_layers: int) -> np.ndarray:
    """Layers of a model that lie at the depth of the paper's layers ``first`` to ``last`` of 32.

    A layer belongs where its middle lies: layer l of L at depth (l + 0.5) / L.

    Returns
    -------
    int64 (n,); the nearest single layer where none has its middle in the band.
    """
    depth = (np.arange(n_layers) + 0.5) / n_layers
    low, high = first / PAPER_LAYERS, (last + 1) / PAPER_LAYERS
    inside = np.flatnonzero((depth >= low) & (depth < high))
    return inside if len(inside) else np.array([np.abs(depth - (low + high) / 2).argmin()])


def claim_statistics(
    gini: np.ndarray,
    correlation: np.ndarray,
    distances: Mapping[str, np.ndarray],
    roles: Roles,
    settings: Mapping[str, Setting],
) -> dict[str, np.ndarray]:
    """Smooth statistics of all settings.

    Parameters
    ----------
    gini : float64 (n_replicates, n_languages, n_layers), Gini coefficients of the frequencies.
    correlation : float64 (n_replicates, n_layers), mean correlation of two languages.
    distances : by measure float64 (n_replicates, n_languages, n_languages), ``as_distances``.
    roles : languages that the claims name.
    settings : by name; a statistic of setting ``main`` is called ``main/gini_rise``.

    Returns
    -------
    float64 (n_replicates,) each. Statistics whose languages are missing are left out.
    """
    bands = {name: map_layers(*band, gini.shape[2]) for name, band in PAPER_BANDS.items()}
    gini_of = {name: gini[:, :, band].mean(axis=(1, 2)) for name, band in bands.items()}
    correlation_of = {name: correlation[:, band].mean(axis=1) for name, band in bands.items()}
    contrasts = {measure: _neighbours(distances[measure], roles) for measure in PAPER_MEASURES}
    agreement = _same_signs(contrasts)
    table: dict[str, np.ndarray] = {}
    for name, setting in settings.items():
        found = {
            "gini_rise": gini_of["late"] - gini_of["early"],
            "correlation_middle_over_first": correlation_of["middle"] - correlation_of["first"],
            "correlation_middle_over_last": correlation_of["middle"] - correlation_of["late"],
            **contrasts[setting.measure],
        }
        if agreement is not None:
            found["same_signs"] = agreement
        table |= {f"{name}/{statistic}": values for statistic, values in found.items()}
    return table


def claim_counts(
    frequency: np.ndarray, settings: Mapping[str, Setting], paper_table_3: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Statistics of all settings that count experts beyond the threshold, float64 (n_replicates,) each.

    Parameters
    ----------
    frequency, settings : as in ``claim_statistics``.
    paper_table_3 : float64 (n_languages + 1,), the paper's shares of experts by number of languages; read
        where it has as many languages.
    """
    bands = {name: map_layers(*band, frequency.shape[2]) for name, band in PAPER_BANDS.items()}
    table: dict[str, np.ndarray] = {}
    by_threshold: dict[float, dict[str, np.ndarray]] = {}
    for name, setting in settings.items():
        if setting.threshold not in by_threshold:
            by_threshold[setting.threshold] = _sharing(frequency, setting.threshold, bands, paper_table_3)
        found = by_threshold[setting.threshold]
        table |= {f"{name}/{statistic}": values for statistic, values in found.items()}
    return table


def _neighbours(distance: np.ndarray, roles: Roles) -> dict[str, np.ndarray]:
    """Contrasts of mean distances; a contrast above zero speaks for the claim.

    They are divided by the mean distance of all pairs, so that measures and models can be compared.
    """
    rows, columns = np.triu_indices(distance.shape[-1], 1)
    scale = distance[:, rows, columns].mean(axis=1)

    def between(a: list[int], b: list[int]) -> np.ndarray:
        return distance[:, np.array(a)[:, None], np.array(b)[None]].mean(axis=(1, 2)) / scale

    def within(a: list[int]) -> np.ndarray:
        first, second = np.triu_indices(len(a), 1)
        return distance[:, np.array(a)[first], np.array(a)[second]].mean(axis=1) / scale

    found: dict[str, np.ndarray] = {}
    romance, indic = roles.romance, roles.indic
    if len(romance) < 2 or len(indic) < 2:
        return found
    found["between_within"] = between(romance, indic) * 2 / (within(romance) + within(indic))
    if roles.english:
        rest = [between(roles.english, other) for other in (indic, roles.arabic, roles.chinese) if other]
        found["english_romance"] = np.min(rest, axis=0) - between(roles.english, romance)
        found["english_distinct"] = between(roles.english, romance) - within(romance)
    if roles.arabic:
        found["arabic_indic"] = between(roles.arabic, romance) - between(roles.arabic, indic)
    if roles.chinese:
        found["chinese_romance"] = between(roles.chinese, indic) - between(roles.chinese, romance)
    return found


def _sharing(
    frequency: np.ndarray, threshold: float, bands: dict[str, np.ndarray], paper_table_3: np.ndarray | None
) -> dict[str, np.ndarray]:
    high = frequency >= threshold
    n_languages = frequency.shape[1]
    n_high = high.sum(axis=1)  # (replicate, layer, expert)
    by_all = n_high == n_languages
    # what text without a language of its own would share: experts often active in all languages together
    together = frequency.mean(axis=1) >= threshold
    kept = {
        name: by_all[:, band].sum(axis=(1, 2)) / np.maximum(together[:, band].sum(axis=(1, 2)), 1)
        for name, band in bands.items()
    }
    found = {
        "low_late": 1 - high[:, :, bands["late"]].mean(axis=(1, 2, 3)),
        "kept_middle_over_first": kept["middle"] - kept["first"],
        "kept_middle_over_last": kept["middle"] - kept["late"],
        "share_all": by_all.mean(axis=(1, 2)),
        "share_none": (n_high == 0).mean(axis=(1, 2)),
        "ffn_saved": 1 - high.mean(axis=(1, 2, 3)),
    }
    if paper_table_3 is not None and len(paper_table_3) == n_languages + 1:
        shares = np.stack([(n_high == m).mean(axis=(1, 2)) for m in range(n_languages + 1)], axis=1)
        found["table_3_distance"] = np.abs(shares - paper_table_3).sum(axis=1) / 2
    return found


def _same_signs(contrasts: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray | None:
    """By how much the measures agree about the signs of all contrasts; below zero where they do not.

    Of one contrast: how far all measures lie on one side of no difference, or, below zero, how far they would
    have to move to do so; of all contrasts the smallest. Every measure's
    contrasts are divided by its mean distance, so that they can be compared.
    """
    names = next(iter(contrasts.values()))
    margins = []
    for name in names:
        values = np.stack([found[name] - CONTRASTS[name] for found in contrasts.values()])
        margins.append(np.maximum(values.min(axis=0), -values.max(axis=0)))
    return np.min(margins, axis=0) if margins else None
