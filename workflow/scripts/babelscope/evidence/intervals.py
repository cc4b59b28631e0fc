"""Tables and trees of everything the comparison of languages reports, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.claims import paper_table_3
from babelscope.evidence.corpus_distances import SECOND_COLUMNS, second_corpora
from babelscope.evidence.draws import FREQUENCY_INTERVALS, Replicates, draw, frequency_intervals
from babelscope.evidence.layers import tabulate_layers
from babelscope.evidence.neighbours import NEIGHBOUR_COLUMNS, tabulate_neighbours
from babelscope.evidence.noise_floor import (
    LearningCurve,
    NoiseFloor,
    learning_curve,
    measure_noise_floor,
    tokens_needed,
)
from babelscope.evidence.replicates import (
    corrected_distances,
    distance_estimate,
    study_settings,
    write_replicates,
)
from babelscope.evidence.study_replicates import StudyQuestion
from babelscope.evidence.trees import Dendrogram, cluster_languages
from babelscope.files.hdf5 import write_h5
from babelscope.files.kind import study_record
from babelscope.files.record import read_record, write_record
from babelscope.files.tables import plain_rows, write_table
from babelscope.files.whole import read_json
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import LEVEL, Estimate
from babelscope.study.languages import Language

PAIR_COLUMNS = (
    "measure", "language_a", "language_b", "value", "corrected", "low", "high",
    "floor", "half_distance", "half_floor",
)  # fmt: skip
SHARING_COLUMNS = ("n_languages", "n_experts", "corrected", "low", "high")
LAYER_COLUMNS = ("layer", "language", "statistic", "value", "corrected", "low", "high")
NOISE_COLUMNS = (
    "language", "n_tokens", "reliability_half", "reliability", *(f"floor_{name}" for name in MEASURES),
    "half_floor_euclidean", "exponent", "tokens_needed", *SECOND_COLUMNS,
)  # fmt: skip
CURVE_COLUMNS = ("language", "n_blocks", "n_tokens", "euclidean")
DENDROGRAMS = study_record(
    "dendrograms",
    "evidence/dendrograms.json",
    "bootstrap_languages",
    trees="by measure: linkage, order of the leaves, cophenetic correlation, bootstrap support",
)
INTERVALS = study_record(
    "intervals",
    "evidence/intervals.json",
    "bootstrap_languages",
    pairs="rows of similarity_intervals.csv, in full precision",
    layers="rows of layers.csv",
    noise="rows of noise_floor.csv",
    curve="rows of learning_curve.csv",
)


def grow_trees(replicates: Replicates) -> dict[str, Dendrogram]:
    """By measure, the dendrogram of the corrected distances with bootstrap support."""
    return {
        name: cluster_languages(distance, replicates.drawn[f"distance/{name}"])
        for name, distance in corrected_distances(replicates).items()
    }


def tabulate_pairs(
    replicates: Replicates, floor: NoiseFloor, codes: Sequence[str], main: Replicates | None = None
) -> list[dict[str, Any]]:
    """Rows of ``similarity_intervals.csv``, one a measure and pair.

    ``floor`` is the distance expected between two samples of one language, as large as those compared, mean
    of the two languages. ``half_distance`` and ``half_floor`` are the same with halves of the documents: like
    with like. ``value`` is that of the study's own partition, ``main``; the others are over all partitions.
    """
    rows: list[dict[str, Any]] = []
    for measure in MEASURES:
        found = distance_estimate(replicates, measure)
        full, halves = floor.full[measure], floor.halves[measure]
        for a in range(len(codes)):
            for b in range(a + 1, len(codes)):
                numbers = (
                    (main or replicates).values[f"distance/{measure}"],
                    found.corrected,
                    found.low,
                    found.high,
                )
                row: dict[str, Any] = dict(
                    zip(PAIR_COLUMNS[3:7], (float(part[a, b]) for part in numbers), strict=True)
                )
                row |= {"measure": measure, "language_a": codes[a], "language_b": codes[b]}
                row |= {"floor": _middle(full[a], full[b], measure), "half_distance": float(halves[a, b])}
                row |= {"half_floor": _middle(halves[a, a], halves[b, b], measure)}
                rows.append(row)
    return rows


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
    floor: NoiseFloor,
    curve: LearningCurve,
    distance: np.ndarray,
    codes: Sequence[str],
    second: Mapping[str, Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of ``noise_floor.csv`` and of ``learning_curve.csv``.

    Parameters
    ----------
    distance : float64 (n_languages, n_languages), Euclidean, corrected for noise.
    second : ``second_corpora``: halves are a floor of documents, another corpus is one of texts.
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
            **second[code],
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


def read_dendrograms(path: str | Path, model: str, codes: Sequence[str]) -> dict[str, Any]:
    """Entries of ``evidence/dendrograms.json`` by measure, of this model and these languages."""
    found: dict[str, Any] = read_record(path, DENDROGRAMS, model=model, languages=list(codes))["trees"]
    return found


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


def write_bootstrap(
    counts: Sequence[ActivationCounts],
    partitions: Mapping[str, Sequence[ActivationCounts]],
    languages: Sequence[Language],
    domains: Mapping[str, Mapping[str, ActivationCounts]],
    paper: str | Path,
    out: Any,
    model: str,
    *,
    threshold: float,
    other_thresholds: Sequence[float],
    n_replicates: int,
    n_splits: int,
    seed: int,
) -> None:
    """Draw once, and write all that follows from the draws and from random halves.

    Parameters
    ----------
    counts : recordings of the languages. partitions : the same with equivalent partitions, by name.
    domains : by name of a second corpus, by language, its recordings.
    paper : path of paper.json.
    out : has paths ``replicates``, ``frequency``, ``neighbours``, ``pairs``, ``sharing``, ``layers``,
        ``noise``, ``curve``, ``intervals`` and ``trees``.
    threshold, other_thresholds : frequency from which an expert is high-frequency: the study's, and others.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """
    codes = [row.code for row in languages]
    draws = draw(counts, codes, n_replicates, seed)
    settings, table_3 = study_settings(threshold, other_thresholds), paper_table_3(read_json(paper))
    asked = StudyQuestion(languages, settings, table_3, n_replicates, seed)
    replicates, main = asked.replicate(counts, partitions, by_layer=True)
    write_replicates(out.replicates, replicates, codes, model)
    low, high = frequency_intervals(draws)
    datasets = {"low": low, "high": high, "languages": codes}
    write_h5(out.frequency, FREQUENCY_INTERVALS, datasets, model=model, level=LEVEL)
    floor = measure_noise_floor(counts, codes, n_splits, seed)
    curve = learning_curve(counts, codes, n_splits, seed)
    second = second_corpora(counts, codes, domains, n_replicates, seed)
    distance = corrected_distances(replicates)["euclidean"]
    noise, points = tabulate_noise(floor, curve, distance, codes, second)
    pairs = tabulate_pairs(replicates, floor, codes, main)
    layers = tabulate_layers(replicates, codes)
    write_table(out.pairs, pairs, PAIR_COLUMNS)
    write_table(out.neighbours, tabulate_neighbours(replicates, codes), NEIGHBOUR_COLUMNS)
    write_table(out.sharing, tabulate_sharing(replicates.estimate("sharing", 0.0)), SHARING_COLUMNS)
    write_table(out.layers, layers, LAYER_COLUMNS)
    write_table(out.noise, noise, NOISE_COLUMNS)
    write_table(out.curve, points, CURVE_COLUMNS)
    tables: dict[str, Any] = {"pairs": pairs, "layers": layers, "noise": noise, "curve": points}
    said = {"model": model, "languages": list(codes)}
    write_record(out.intervals, INTERVALS, {name: plain_rows(rows) for name, rows in tables.items()}, **said)
    trees = grow_trees(replicates)
    grown = {name: dendrogram_json(tree, codes) for name, tree in trees.items()}
    write_record(out.trees, DENDROGRAMS, {"trees": grown}, **said)
