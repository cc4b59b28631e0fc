"""The statistics that decide the paper's claims, batched over bootstrap replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from babelscope.study.languages import Language

PAPER_LAYERS = 32
PAPER_MEASURES = ("euclidean", "kl", "pearson")
# layers of Llama 2 7B, first and last, as the claims name them
PAPER_BANDS = {"early": (0, 25), "late": (26, 31), "first": (0, 1), "middle": (2, 25)}

# natural range of each statistic; a bias correction must not leave it
RANGES: dict[str, tuple[float | None, float | None]] = {
    "gini_early": (0, 1),
    "gini_late": (0, 1),
    "low_late": (0, 1),
    "between_within": (0, None),
    "measures_agree": (-1, 1),
    "share_all": (0, 1),
    "share_none": (0, 1),
    "table_3_distance": (0, 1),
    "ffn_saved": (0, 1),
}


@dataclass(frozen=True)
class Setting:
    """What a set of statistics is computed with."""

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
    gini: np.ndarray, distances: Mapping[str, np.ndarray], roles: Roles, settings: Mapping[str, Setting]
) -> dict[str, np.ndarray]:
    """Smooth statistics of all settings.

    Parameters
    ----------
    gini : float64 (n_replicates, n_languages, n_layers), Gini coefficients of the frequencies.
    distances : by measure float64 (n_replicates, n_languages, n_languages), ``as_distances``.
    roles : languages that the claims name.
    settings : by name; a statistic of setting ``main`` is called ``main/gini_early``.

    Returns
    -------
    float64 (n_replicates,) each. Statistics whose languages are missing are left out.
    """
    bands = {name: map_layers(*band, gini.shape[2]) for name, band in PAPER_BANDS.items()}
    gini_of = gini.mean(axis=1)  # (replicate, layer)
    agreement = _measures_agree(distances)
    table: dict[str, np.ndarray] = {}
    for name, setting in settings.items():
        found = {
            "gini_early": gini_of[:, bands["early"]].mean(axis=1),
            "gini_late": gini_of[:, bands["late"]].mean(axis=1),
            **_neighbours(distances[setting.measure], roles),
        }
        if agreement is not None:
            found["measures_agree"] = agreement
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
    all_by_layer = (n_high == n_languages).mean(axis=2)
    middle = all_by_layer[:, bands["middle"]].mean(axis=1)
    found = {
        "low_late": 1 - high[:, :, bands["late"]].mean(axis=(1, 2, 3)),
        "middle_over_first": middle - all_by_layer[:, bands["first"]].mean(axis=1),
        "middle_over_last": middle - all_by_layer[:, bands["late"]].mean(axis=1),
        "share_all": all_by_layer.mean(axis=1),
        "share_none": (n_high == 0).mean(axis=(1, 2)),
        "ffn_saved": 1 - high.mean(axis=(1, 2, 3)),
    }
    if paper_table_3 is not None and len(paper_table_3) == n_languages + 1:
        shares = np.stack([(n_high == m).mean(axis=(1, 2)) for m in range(n_languages + 1)], axis=1)
        found["table_3_distance"] = np.abs(shares - paper_table_3).sum(axis=1) / 2
    return found


def _measures_agree(distances: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Lowest of the rank correlations over pairs of languages between two of the paper's measures."""
    n = distances["euclidean"].shape[-1]
    if n < 3:
        return None
    rows, columns = np.triu_indices(n, 1)
    units = []
    for measure in PAPER_MEASURES:
        ranks = rankdata(distances[measure][:, rows, columns], axis=1)
        centred = ranks - ranks.mean(axis=1, keepdims=True)
        units.append(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-300))
    products = [np.einsum("rp,rp->r", units[i], units[j]) for i in range(len(units)) for j in range(i)]
    return np.min(products, axis=0)
