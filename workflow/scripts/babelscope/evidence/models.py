"""Do two models arrange the same languages alike?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.intervals import read_distances
from babelscope.statistics.permutation import N_RANDOM, mantel
from babelscope.study.errors import BabelscopeError

AGREEMENT_COLUMNS = (
    "model_a", "model_b", "measure", "n_languages",
    "spearman", "mantel", "mantel_p", "procrustes", "procrustes_p",
)  # fmt: skip
N_AXES = 2  # the maps that are compared are those that are drawn


@dataclass(frozen=True)
class ModelAgreement:
    """Agreement of two models about the distances between languages.

    Attributes
    ----------
    model_a, model_b, measure : what is compared. n_languages : languages that both have.
    spearman : rank correlation of the distances over pairs. mantel, mantel_p : Pearson correlation over
        pairs, with its permutation p value.
    procrustes : 1 less the squared misfit of the two maps after shift, scaling and rotation, in [0, 1]; 1 is
        the same map. procrustes_p : p value by permutation of the languages (PROTEST, Jackson 1995).
    """

    model_a: str
    model_b: str
    measure: str
    n_languages: int
    spearman: float
    mantel: float
    mantel_p: float
    procrustes: float
    procrustes_p: float


def compare_models(
    model_a: str,
    model_b: str,
    measure: str,
    distance_a: np.ndarray,
    distance_b: np.ndarray,
    seed: int,
) -> ModelAgreement:
    """Compare the distances of two models, whose languages stand in the same order.

    Parameters
    ----------
    distance_a, distance_b : float64 (n, n), symmetric.

    Raises
    ------
    BabelscopeError
        For fewer than four languages: any three can be laid on any three.
    """
    n = len(distance_a)
    if n < 4 or distance_b.shape != distance_a.shape:
        raise BabelscopeError(f"{model_a} and {model_b} share {n} languages, a comparison of maps needs four")
    rng = np.random.default_rng([seed, n])
    pairs = np.triu_indices(n, 1)
    test = mantel(distance_a, distance_b, rng)
    if test is None:
        raise BabelscopeError(f"{model_a} or {model_b}: all languages are equally far apart ({measure})")
    fit, p_value = compare_maps(scale_to_map(distance_a), scale_to_map(distance_b), rng)
    spearman = float(spearmanr(distance_a[pairs], distance_b[pairs]).statistic)
    return ModelAgreement(model_a, model_b, measure, n, spearman, test.effect, test.p_value, fit, p_value)


def compare_all(
    pairs: Mapping[str, Sequence[Mapping[str, str]]], codes: Sequence[str], seed: int
) -> tuple[list[ModelAgreement], dict[str, np.ndarray]]:
    """Compare every two models by every measure.

    Parameters
    ----------
    pairs : rows of ``similarity_intervals.csv`` by model. codes : languages that all of them have.

    Returns
    -------
    agreement : every two models, every measure. distances : by model, Euclidean, corrected for noise.
    """
    matrices = {model: read_distances(rows, codes, "corrected") for model, rows in pairs.items()}
    agreement = [
        compare_models(a, b, measure, matrices[a][measure], matrices[b][measure], seed)
        for a, b in itertools.combinations(matrices, 2)
        for measure in MEASURES
    ]
    return agreement, {model: found["euclidean"] for model, found in matrices.items()}


def scale_to_map(distance: np.ndarray, n_axes: int = N_AXES) -> np.ndarray:
    """Coordinates whose distances come closest to those given: classical scaling (Torgerson 1952).

    Returns
    -------
    float64 (n, n_axes), centred, axes in the order of their length.
    """
    n = len(distance)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ np.square(distance) @ centring)
    largest = np.argsort(-values)[:n_axes]
    coordinates = vectors[:, largest] * np.sqrt(np.maximum(values[largest], 0.0))
    # an axis has no direction of its own; its longest coordinate is made positive
    signs = np.sign(coordinates[np.abs(coordinates).argmax(axis=0), np.arange(len(largest))])
    return coordinates * np.where(signs == 0, 1.0, signs)


def compare_maps(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Procrustes fit of two maps and its permutation p value.

    Returns
    -------
    fit : in [0, 1], one less the disparity of ``scipy.spatial.procrustes``. p_value : in (0, 1].
    """
    a, b = (points - points.mean(axis=0) for points in (first, second))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    orders = np.vstack([np.arange(len(b)), rng.permuted(np.tile(np.arange(len(b)), (N_RANDOM, 1)), axis=1)])
    products = np.einsum("ni,rnj->rij", a, b[orders])
    fits = np.linalg.svd(products, compute_uv=False).sum(axis=1) ** 2
    return float(fits[0]), float((fits >= fits[0] - 1e-12).mean())


def side_by_side(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The claims of several models in one table.

    Parameters
    ----------
    tables : rows of ``claims.csv`` by model.

    Returns
    -------
    rows, columns : ``claim``, ``statistic``, ``paper_value``, then ``{model}``, ``{model}_low``,
        ``{model}_high`` and ``{model}_verdict`` of every model; empty where a model has no such statistic.
    """
    keys = list(dict.fromkeys((row["claim"], row["statistic"]) for rows in tables.values() for row in rows))
    columns = ["claim", "statistic", "paper_value"]
    merged: dict[tuple[str, str], dict[str, Any]] = {
        key: {"claim": key[0], "statistic": key[1], "paper_value": ""} for key in keys
    }
    for model, rows in tables.items():
        parts = {"": "value", "_low": "low", "_high": "high", "_verdict": "verdict"}
        columns += [model + suffix for suffix in parts]
        for blank in merged.values():
            blank.update({model + suffix: "" for suffix in parts})
        for row in rows:
            found = merged[row["claim"], row["statistic"]]
            found["paper_value"] = found["paper_value"] or row["paper_value"]
            found.update({model + suffix: row[name] for suffix, name in parts.items()})
    return list(merged.values()), columns
