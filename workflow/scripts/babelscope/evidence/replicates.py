"""One bootstrap of a study: every statistic of its recordings from the same draws, and its file.

All that is said about distances, families, layers, sharing and claims is read from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.evidence.claim_statistics import RANGES, Setting, claim_counts, claim_statistics, find_roles
from babelscope.evidence.draws import AnyDraws, Pooled, Replicates, bootstrap
from babelscope.evidence.layers import gini, layer_shares, layer_statistics, mean_correlation
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind
from babelscope.statistics.bootstrap import Estimate, estimate, spread_of_mean
from babelscope.study.languages import Language

REPLICATES = Kind(
    "replicates",
    "evidence/replicates.h5",
    "bootstrap_languages",
    ("model",),
    {
        "languages": LANGUAGES,
        "measures": DatasetSpec("str", ("measure",), "measures of similarity"),
        "distances": DatasetSpec(
            "float64", ("measure", "language", "language"), "symmetric distances of the data"
        ),
        "drawn_distances": DatasetSpec(
            "float64", ("replicate", "measure", "language", "language"), "those of the replicates"
        ),
        "statistics": DatasetSpec("str", ("statistic",), "setting/name of statistics of claims"),
        "values": DatasetSpec("float64", ("statistic",), "statistics of the data"),
        "drawn": DatasetSpec("float64", ("replicate", "statistic"), "those of the replicates"),
        "counted": DatasetSpec("str", ("counted",), "statistics that count experts over a threshold"),
        "noisier": DatasetSpec("float64", ("counted",), "their means with once more of the noise"),
        "spread": DatasetSpec("float64", ("statistic",), "half of the interval that partitions add", low=0),
        "distance_spread": DatasetSpec("float64", ("measure", "language", "language"), "the same", low=0),
        "pooled": DatasetSpec(
            "float64",
            ("statistic", "of_pooled"),
            "value with all blocks pooled and dealt out, low, high; value less that one, low, high",
        ),
        "partitions": DatasetSpec("str", ("partition",), "equivalent partitions; the means are over these"),
        "partition_distances": DatasetSpec(
            "float64", ("partition", "measure", "language", "language"), "corrected distances of each"
        ),
    },
    version=3,
)
MAIN = "main"
OTHER_MEASURES = {"KL": "kl", "Pearson": "pearson"}


def study_settings(threshold: float, other_thresholds: Sequence[float]) -> dict[str, Setting]:
    """The study's own setting, ``main``, and the other choices that its claims are judged under."""
    return {
        MAIN: Setting(threshold=threshold),
        **{f"threshold {other:g}": Setting(threshold=other) for other in other_thresholds},
        **{name: Setting(measure, threshold) for name, measure in OTHER_MEASURES.items()},
    }


def replicate_claims(
    draws: AnyDraws,
    languages: Sequence[Language],
    settings: Mapping[str, Setting],
    paper_table_3: np.ndarray | None = None,
    *,
    by_layer: bool = False,
) -> Replicates:
    """Distances between languages and the statistics of claims in one bootstrap pass.

    Parameters
    ----------
    draws : of the languages, in their order.
    settings : by name, for ``claim_statistics``.
    paper_table_3 : for ``claim_counts``.
    by_layer : True: also the statistics of every layer, and ``sharing``, float64 (n_languages + 1,): experts
        that are high-frequency in exactly m languages at the threshold of setting ``main``.

    Returns
    -------
    ``distance/{measure}``, ``{setting}/{statistic}``, and what ``by_layer`` adds.
    """
    roles = find_roles(languages)

    def statistic(frequency: np.ndarray, n_tokens: np.ndarray) -> dict[str, np.ndarray]:
        layers = compare_layers(frequency, n_tokens)
        distances = as_distances(total_measures(layers))
        of_layers = layer_statistics(frequency, layers) if by_layer else {}
        inequality = of_layers["gini"] if by_layer else gini(frequency)
        return {
            **{f"distance/{measure}": distances[measure] for measure in MEASURES},
            **claim_statistics(inequality, mean_correlation(layers), distances, roles, settings),
            **of_layers,
        }

    def counting(frequency: np.ndarray) -> dict[str, np.ndarray]:
        found = claim_counts(frequency, settings, paper_table_3)
        if not by_layer:
            return found
        threshold = settings[MAIN].threshold
        n_high = (frequency >= threshold).sum(axis=1)
        by_languages = [(n_high == m).sum(axis=(1, 2)) for m in range(len(languages) + 1)]
        sharing = np.stack(by_languages, axis=1).astype(np.float64)
        return {**found, "sharing": sharing, **layer_shares(frequency, threshold)}

    return bootstrap(draws, statistic, counting)


def distance_estimate(replicates: Replicates, measure: str) -> Estimate:
    """Distances of all pairs corrected for noise, with intervals, float64 (n_languages, n_languages) each.

    The Euclidean distance is corrected as its square: near the floor the bias of the square is constant,
    that of the root is not. No distance is below zero.
    """
    name = f"distance/{measure}"
    if measure != "euclidean":
        return replicates.estimate(name, 0.0)
    squared = estimate(np.square(replicates.values[name]), np.square(replicates.drawn[name]))
    found = squared.clipped(0.0, None).root()
    return found.widened(replicates.spread.get(name, 0.0)).clipped(0.0, None)


def over_partitions(parts: Mapping[str, Replicates]) -> Replicates:
    """Means over equivalent partitions, and how far single ones are from each other.

    All partitions have the same draws of documents, so that the replicates of the mean hold the noise of the
    documents, and what the partitions add is laid beside it (``Replicates.spread``).

    Parameters
    ----------
    parts : by partition, the study's own first; what only that one has is kept as it is.
    """
    first, *others = parts.values()
    names = [name for name in first.values if all(name in other.values for other in others)]
    mean = Replicates(dict(first.values), dict(first.drawn), dict(first.noisier))
    if not others:
        return mean
    for name in names:
        mean.values[name] = np.mean([part.values[name] for part in parts.values()], axis=0)
        mean.drawn[name] = np.mean([part.drawn[name] for part in parts.values()], axis=0)
        if name in first.noisier:
            mean.noisier[name] = np.mean([part.noisier[name] for part in parts.values()], axis=0)
        measure = name.removeprefix("distance/")
        corrected = [
            distance_estimate(part, measure).corrected
            if measure in MEASURES
            else part.estimate(name).corrected
            for part in parts.values()
        ]
        mean.spread[name] = spread_of_mean(np.stack(corrected))
        if measure in MEASURES:
            mean.partitions[measure] = dict(zip(parts, corrected, strict=True))
    return mean


def corrected_distances(replicates: Replicates) -> dict[str, np.ndarray]:
    """By measure, ``distance_estimate(...).corrected``."""
    return {measure: distance_estimate(replicates, measure).corrected for measure in MEASURES}


def claim_estimates(replicates: Replicates, setting: str) -> dict[str, Estimate]:
    """Statistics of one setting by their names, each kept within its range."""
    prefix = f"{setting}/"
    keys = [name.removeprefix(prefix) for name in replicates.values if name.startswith(prefix)]
    return {key: replicates.estimate(prefix + key, *RANGES.get(key, (None, None))) for key in keys}


def write_replicates(path: str | Path, replicates: Replicates, codes: Sequence[str], model: str) -> None:
    """Write distances and statistics of claims; a statistic that is not a number is left out."""
    distances = [f"distance/{measure}" for measure in MEASURES]
    names = [
        name
        for name, value in replicates.values.items()
        if "/" in name and name not in distances and np.isfinite(replicates.drawn[name]).all()
    ]
    counted = [name for name in names if name in replicates.noisier]
    zero = np.zeros_like(replicates.values[distances[0]], dtype=np.float64)
    partitions = list(next(iter(replicates.partitions.values()), {}))
    shape = (len(partitions), len(MEASURES), *zero.shape)
    of_partitions = [[replicates.partitions[m][name] for m in MEASURES] for name in partitions]
    datasets = {
        "languages": codes,
        "measures": list(MEASURES),
        "distances": np.stack([replicates.values[name] for name in distances]),
        "drawn_distances": np.stack([replicates.drawn[name] for name in distances], axis=1),
        "statistics": names,
        "values": np.array([replicates.values[name] for name in names], dtype=np.float64),
        "drawn": np.stack([replicates.drawn[name] for name in names], axis=1),
        "counted": counted,
        "noisier": np.array([replicates.noisier[name] for name in counted], dtype=np.float64),
        "spread": np.array([replicates.spread.get(name, 0.0) for name in names], dtype=np.float64),
        "distance_spread": np.stack([replicates.spread.get(name, zero) for name in distances]),
        "pooled": np.array([astuple(replicates.pooled[name]) for name in names], dtype=np.float64),
        "partitions": partitions,
        "partition_distances": np.array(of_partitions, dtype=np.float64).reshape(shape),
    }
    write_h5(path, REPLICATES, datasets, model=model)


def read_replicates(path: str | Path, model: str, codes: Sequence[str]) -> Replicates:
    """Read ``evidence/replicates.h5`` of this model and these languages.

    Raises
    ------
    BabelscopeError
        Where the file is of another model or of other languages.
    """
    found, _ = read_h5(path, REPLICATES, model=model, languages=list(codes))
    values = dict(zip(found["statistics"], found["values"], strict=True))
    drawn = dict(zip(found["statistics"], np.ascontiguousarray(found["drawn"].T), strict=True))
    for idx, measure in enumerate(found["measures"]):
        values[f"distance/{measure}"] = found["distances"][idx]
        drawn[f"distance/{measure}"] = found["drawn_distances"][:, idx]
    spread = dict(zip(found["statistics"], found["spread"], strict=True))
    spread |= {f"distance/{m}": found["distance_spread"][idx] for idx, m in enumerate(found["measures"])}
    partitions = {
        measure: dict(zip(found["partitions"], found["partition_distances"][:, idx], strict=True))
        for idx, measure in enumerate(found["measures"])
        if len(found["partitions"])
    }
    pooled = {
        name: Pooled(*row) for name, row in zip(found["statistics"], found["pooled"].tolist(), strict=True)
    }
    noisier = dict(zip(found["counted"], found["noisier"], strict=True))
    return Replicates(values, drawn, noisier, spread, partitions, pooled)
