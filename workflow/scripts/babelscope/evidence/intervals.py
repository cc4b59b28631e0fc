"""Intervals of everything the comparison of languages reports, from one bootstrap pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.evidence.bootstrap import Estimate, bootstrap
from babelscope.evidence.families import Dendrogram, cluster_languages
from babelscope.evidence.layers import LayerRow, layer_shares, layer_statistics, tabulate_layers
from babelscope.evidence.noise_floor import LearningCurve, NoiseFloor, tokens_needed
from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError

PAIR_COLUMNS = (
    "measure", "language_a", "language_b", "value", "corrected", "low", "high",
    "floor", "half_distance", "half_floor",
)  # fmt: skip
SHARING_COLUMNS = ("n_languages", "n_experts", "corrected", "low", "high")
LAYER_COLUMNS = ("layer", "language", "statistic", "value", "corrected", "low", "high")
NOISE_COLUMNS = (
    "language", "n_tokens", "reliability_half", "reliability", "floor_euclidean", "floor_kl", "floor_pearson",
    "half_floor_euclidean", "exponent", "tokens_needed",
)  # fmt: skip
CURVE_COLUMNS = ("language", "n_blocks", "n_tokens", "euclidean")


@dataclass(frozen=True)
class Intervals:
    """What one bootstrap pass says about the languages.

    Attributes
    ----------
    distances : by measure, symmetric distances (``as_distances``) of all pairs with intervals.
    n_experts_by_languages : experts that are high-frequency in exactly m languages, m = 0 .. n_languages.
    layers : rows of ``layers.csv``.
    dendrograms : by measure, of the corrected distances, with bootstrap support.
    """

    distances: dict[str, Estimate]
    n_experts_by_languages: Estimate
    layers: list[LayerRow]
    dendrograms: dict[str, Dendrogram]


def estimate_intervals(
    counts: Sequence[ActivationCounts], codes: Sequence[str], threshold: float, n_replicates: int, seed: int
) -> Intervals:
    """Bootstrap similarity, sharing and the statistics of layers.

    Parameters
    ----------
    counts, codes : recordings of the languages, and their codes.
    threshold : frequency from which an expert is high-frequency.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """

    def statistic(frequency: np.ndarray, n_tokens: np.ndarray) -> dict[str, np.ndarray]:
        layers = compare_layers(frequency, n_tokens)
        distances = as_distances(total_measures(layers))
        return {
            "kl": distances["kl"],
            "1 - pearson": distances["pearson"],
            # near the floor the bias of a squared distance is constant, that of its root is not
            "squared": np.square(distances["euclidean"]),
            **layer_statistics(frequency, layers),
        }

    def counting(frequency: np.ndarray) -> dict[str, np.ndarray]:
        n_high = (frequency >= threshold).sum(axis=1)
        by_languages = [(n_high == m).sum(axis=(1, 2)) for m in range(len(codes) + 1)]
        sharing = np.stack(by_languages, axis=1).astype(np.float64)
        return {"sharing": sharing, **layer_shares(frequency, threshold)}

    replicates = bootstrap(counts, codes, statistic, n_replicates, seed, counting)
    squared = replicates.estimate("squared", 0.0)
    parts = (squared.value, squared.corrected, squared.low, squared.high)
    distances = {
        "euclidean": Estimate(*(np.sqrt(part) for part in parts)),
        "kl": replicates.estimate("kl", 0.0),
        "pearson": replicates.estimate("1 - pearson", 0.0),
    }
    drawn = {
        "euclidean": np.sqrt(replicates.drawn["squared"]),
        "kl": replicates.drawn["kl"],
        "pearson": replicates.drawn["1 - pearson"],
    }
    trees = {name: cluster_languages(distances[name].corrected, drawn[name]) for name in MEASURES}
    sharing = replicates.estimate("sharing", 0.0)
    return Intervals(distances, sharing, tabulate_layers(replicates, codes), trees)


def tabulate_pairs(
    distances: Mapping[str, Estimate], floor: NoiseFloor, codes: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of ``similarity_intervals.csv``, one a measure and pair.

    ``floor`` is the distance expected between two samples of one language, as large as those compared, mean
    of the two languages. ``half_distance`` and ``half_floor`` are the same with halves of the documents: like
    with like.
    """
    rows: list[dict[str, Any]] = []
    for measure, found in distances.items():
        full, halves = floor.full[measure], floor.halves[measure]
        for a in range(len(codes)):
            for b in range(a + 1, len(codes)):
                numbers = (found.value, found.corrected, found.low, found.high)
                row: dict[str, Any] = dict(
                    zip(PAIR_COLUMNS[3:7], (float(part[a, b]) for part in numbers), strict=True)
                )
                row |= {"measure": measure, "language_a": codes[a], "language_b": codes[b]}
                row |= {"floor": _middle(full[a], full[b], measure), "half_distance": float(halves[a, b])}
                row |= {"half_floor": _middle(halves[a, a], halves[b, b], measure)}
                rows.append(row)
    return rows


def read_distances(
    rows: Sequence[Mapping[str, str]], codes: Sequence[str], column: str
) -> dict[str, np.ndarray]:
    """Square matrices of one column of ``similarity_intervals.csv``, by measure, zero on the diagonal.

    Raises
    ------
    BabelscopeError
        Where a pair of the languages is missing.
    """
    position = {code: idx for idx, code in enumerate(codes)}
    matrices = {measure: np.full((len(codes), len(codes)), np.nan) for measure in MEASURES}
    for row in rows:
        if row["language_a"] in position and row["language_b"] in position:
            a, b = position[row["language_a"]], position[row["language_b"]]
            matrices[row["measure"]][a, b] = matrices[row["measure"]][b, a] = float(row[column])
    for measure, matrix in matrices.items():
        np.fill_diagonal(matrix, 0.0)
        if np.isnan(matrix).any():
            a, b = np.argwhere(np.isnan(matrix))[0]
            raise BabelscopeError(f"the table of distances has no {measure} of {codes[a]} and {codes[b]}")
    return matrices


def tabulate_sharing(found: Estimate) -> list[dict[str, Any]]:
    """Rows of ``sharing_intervals.csv``: experts by the number of languages they are high-frequency in."""
    columns = zip(found.value, found.corrected, found.low, found.high, strict=True)
    return [
        {
            "n_languages": m,
            "n_experts": int(value),
            "corrected": float(c),
            "low": float(low),
            "high": float(high),
        }
        for m, (value, c, low, high) in enumerate(columns)
    ]


def tabulate_noise(
    floor: NoiseFloor, curve: LearningCurve, distance: np.ndarray, codes: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of ``noise_floor.csv`` and of ``learning_curve.csv``.

    Parameters
    ----------
    distance : float64 (n_languages, n_languages), Euclidean, corrected for noise.
    """
    needed = tokens_needed(floor, distance)
    noise = [
        {
            "language": code,
            "n_tokens": round(2 * float(floor.tokens_per_half[idx])),
            "reliability_half": float(floor.reliability[idx]),
            "reliability": float(floor.reliability_full[idx]),
            **{f"floor_{measure}": float(floor.full[measure][idx]) for measure in MEASURES},
            "half_floor_euclidean": float(floor.halves["euclidean"][idx, idx]),
            "exponent": float(curve.exponent[idx]),
            "tokens_needed": round(float(needed[idx])) if np.isfinite(needed[idx]) else None,
        }
        for idx, code in enumerate(codes)
    ]
    points = [
        {
            "language": code,
            "n_blocks": int(size),
            "n_tokens": round(float(curve.n_tokens[row, idx])),
            "euclidean": float(curve.euclidean[row, idx]),
        }
        for idx, code in enumerate(codes)
        for row, size in enumerate(curve.n_blocks)
    ]
    return noise, points


def dendrogram_json(dendrogram: Dendrogram, codes: Sequence[str]) -> dict[str, Any]:
    """A dendrogram as plain lists; null where there is no support or cophenetic correlation."""
    fit = None if np.isnan(dendrogram.cophenetic) else dendrogram.cophenetic
    support = [None if np.isnan(share) else float(share) for share in dendrogram.support]
    return {
        "languages": list(codes),
        "linkage": dendrogram.linkage.tolist(),
        "order": dendrogram.order.tolist(),
        "cophenetic": fit,
        "support": support,
    }


def read_dendrogram(entry: Mapping[str, Any]) -> Dendrogram:
    """The inverse of ``dendrogram_json``."""
    support = [np.nan if share is None else share for share in entry["support"]]
    fit = np.nan if entry["cophenetic"] is None else entry["cophenetic"]
    return Dendrogram(
        np.array(entry["linkage"]), np.array(entry["order"]), fit, np.array(support, dtype=float)
    )


def _middle(a: float, b: float, measure: str) -> float:
    """Floor of a pair: noise adds as variance, which the Euclidean distance is the root of."""
    return float(np.sqrt((a**2 + b**2) / 2) if measure == "euclidean" else (a + b) / 2)
