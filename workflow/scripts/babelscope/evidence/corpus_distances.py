"""Distances between all corpora of all languages, and the floor that a language's second corpus makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.evidence.draws import Replicates, bootstrap, draw
from babelscope.evidence.noise_floor import NoiseFloor, measure_noise_floor
from babelscope.evidence.replicates import distance_estimate
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import Estimate

_PAIRS = ("measure", "corpus", "corpus")
CORPORA = Kind(
    "corpora",
    "evidence/corpora.h5",
    "compare_corpora",
    ("model",),
    {
        "corpora": DatasetSpec("str", ("corpus",), "languages, and {lang}.{name} of domains and derived"),
        "measures": DatasetSpec("str", ("measure",), "measures of similarity"),
        "distances": DatasetSpec("float64", _PAIRS, "symmetric distances, corrected for noise"),
        "low": DatasetSpec("float64", _PAIRS, "lower end of the interval"),
        "high": DatasetSpec("float64", _PAIRS, "upper end of the interval"),
        "floor": DatasetSpec(
            "float64", ("measure", "corpus"), "distance of two samples of the same corpus, from halves"
        ),
    },
)
DOMAIN_COLUMNS = (
    "measure", "language", "corpus_a", "corpus_b", "distance", "low", "high", "halves",
    "nearest_a", "distance_nearest_a", "nearest_b", "distance_nearest_b", "times_halves",
)  # fmt: skip
SECOND_COLUMNS = (
    "second_corpus", "second_corpus_euclidean", "second_corpus_low", "second_corpus_high",
)  # fmt: skip


def corpus_distances(
    counts: Sequence[ActivationCounts], corpora: Sequence[str], *, n_replicates: int, n_splits: int, seed: int
) -> tuple[dict[str, Estimate], NoiseFloor]:
    """By measure the distances of all corpora with intervals, and the floor of each from its halves."""
    replicates = _replicate(counts, corpora, n_replicates, seed)
    distances = {measure: distance_estimate(replicates, measure) for measure in MEASURES}
    return distances, measure_noise_floor(counts, corpora, n_splits, seed)


def _replicate(
    counts: Sequence[ActivationCounts], corpora: Sequence[str], n_replicates: int, seed: int
) -> Replicates:
    def statistic(frequency: np.ndarray, n_tokens: np.ndarray) -> dict[str, np.ndarray]:
        found = as_distances(total_measures(compare_layers(frequency, n_tokens)))
        return {f"distance/{measure}": found[measure] for measure in MEASURES}

    return bootstrap(draw(counts, corpora, n_replicates, seed), statistic)


def domain_rows(
    distances: Mapping[str, Estimate],
    floor: NoiseFloor,
    corpora: Sequence[str],
    domains: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """Rows of ``domains.csv``: one language in two corpora, and its nearest other language in each of them.

    Parameters
    ----------
    distances, floor : ``corpus_distances``. corpora : in their order.
    domains : by name of the domain, by language the corpus.
    """
    at = {name: idx for idx, name in enumerate(corpora)}
    rows = []
    for measure in MEASURES:
        found, own = distances[measure], floor.full[measure]
        for a, b in combinations(domains, 2):
            for code in domains[a]:
                if code not in domains[b]:
                    continue
                i, j = at[domains[a][code]], at[domains[b][code]]
                halves = float(np.sqrt((own[i] ** 2 + own[j] ** 2) / 2)) if measure == "euclidean" else 0.0
                halves = halves or float((own[i] + own[j]) / 2)
                row: dict[str, Any] = {"measure": measure, "language": code, "corpus_a": a, "corpus_b": b}
                row |= {"distance": float(found.corrected[i, j]), "halves": halves}
                row |= {"low": float(found.low[i, j]), "high": float(found.high[i, j])}
                row["times_halves"] = row["distance"] / halves if halves > 0 else None
                for side, domain, own_idx in (("a", a, i), ("b", b, j)):
                    others = {c: float(found.corrected[own_idx, at[n]]) for c, n in domains[domain].items()}
                    others.pop(code)
                    nearest = min(others, key=lambda c: others[c]) if others else ""
                    row |= {f"nearest_{side}": nearest, f"distance_nearest_{side}": others.get(nearest)}
                rows.append(row)
    return rows


def second_corpora(
    counts: Sequence[ActivationCounts],
    codes: Sequence[str],
    domains: Mapping[str, Mapping[str, ActivationCounts]],
    n_replicates: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """By language the columns of ``noise_floor.csv`` about its second corpus, how far it is from itself.

    Parameters
    ----------
    counts, codes : recordings of the languages.
    domains : by name of the second corpus, by language, its recordings; of several that a language has, the
        first is shown here and all in ``domains.csv``.
    """
    first = {code: name for name in reversed(list(domains)) for code in domains[name]}
    chosen = [code for code in codes if code in first]
    missing = "not measured: corpus.domains has none"
    found: dict[str, dict[str, Any]] = {
        code: dict(zip(SECOND_COLUMNS, (missing, None, None, None), strict=True)) for code in codes
    }
    if chosen:
        own = [counts[list(codes).index(code)] for code in chosen]
        second = [domains[first[code]][code] for code in chosen]
        names = [*chosen, *(f"{code}.{first[code]}" for code in chosen)]
        replicates = _replicate([*own, *second], names, n_replicates, seed)
        distance = distance_estimate(replicates, "euclidean")
        for i, code in enumerate(chosen):
            j = len(chosen) + i
            values: list[Any] = [first[code]]
            values += [float(part[i, j]) for part in (distance.corrected, distance.low, distance.high)]
            found[code] = dict(zip(SECOND_COLUMNS, values, strict=True))
    return found


def write_corpora(
    path: str | Path, distances: Mapping[str, Estimate], floor: NoiseFloor, corpora: Sequence[str], model: str
) -> None:
    """Write ``evidence/corpora.h5``."""
    parts = {
        name: np.stack([getattr(distances[measure], part) for measure in MEASURES])
        for name, part in (("distances", "corrected"), ("low", "low"), ("high", "high"))
    }
    floors = np.stack([floor.full[measure] for measure in MEASURES])
    names = {"corpora": list(corpora), "measures": list(MEASURES)}
    write_h5(path, CORPORA, {**names, **parts, "floor": floors}, model=model)


def read_corpora(
    path: str | Path, model: str
) -> tuple[list[str], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Names of the corpora, and by measure their distances (n, n) and floors (n,), float64."""
    found, _ = read_h5(path, CORPORA, model=model)
    measures = found["measures"]
    return (
        list(found["corpora"]),
        dict(zip(measures, found["distances"], strict=True)),
        dict(zip(measures, found["floor"], strict=True)),
    )
