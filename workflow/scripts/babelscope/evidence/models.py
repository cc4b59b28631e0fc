"""Do two models arrange the same languages in the same way?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.claims import ClaimRow, read_claims
from babelscope.evidence.replicates import corrected_distances, read_replicates
from babelscope.files.tables import write_table
from babelscope.statistics.maps import compare_maps, scale_to_map
from babelscope.statistics.permutation import mantel
from babelscope.study.errors import BabelscopeError

AGREEMENT_COLUMNS = (
    "model_a", "model_b", "measure", "n_languages",
    "spearman", "mantel", "mantel_p", "procrustes", "procrustes_p",
)  # fmt: skip


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


def compare_all(distances: Mapping[str, Mapping[str, np.ndarray]], seed: int) -> list[ModelAgreement]:
    """Compare every two models by every measure.

    Parameters
    ----------
    distances : by model, ``corrected_distances`` of the same languages.
    """
    return [
        compare_models(a, b, measure, distances[a][measure], distances[b][measure], seed)
        for a, b in itertools.combinations(distances, 2)
        for measure in MEASURES
    ]


def side_by_side(tables: Mapping[str, Sequence[ClaimRow]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The claims of several models in one table.

    Parameters
    ----------
    tables : rows of the claims by model.

    Returns
    -------
    rows, columns : ``id``, ``claim``, ``statistic``, ``paper_value``, then ``{model}``, ``{model}_low``,
        ``{model}_high`` and ``{model}_verdict`` of every model; empty where a model has no such statistic.
    """
    columns = ["id", "claim", "statistic", "paper_value"]
    merged: dict[str, dict[str, Any]] = {}
    for row in (row for rows in tables.values() for row in rows):
        merged.setdefault(row.id, {name: getattr(row, name) for name in columns[:3]} | {"paper_value": None})
    for model, rows in tables.items():
        parts = {"": "value", "_low": "low", "_high": "high", "_verdict": "verdict"}
        columns += [model + suffix for suffix in parts]
        for blank in merged.values():
            blank.update({model + suffix: None for suffix in parts})
        for row in rows:
            found = merged[row.id]
            if found["paper_value"] is None:
                found["paper_value"] = row.paper_value
            found.update({model + suffix: getattr(row, name) for suffix, name in parts.items()})
    return list(merged.values()), columns


def read_models(
    paths: Mapping[str, str], models: Sequence[str], codes: Sequence[str]
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, list[ClaimRow]]]:
    """Distances and claims by model; files are named ``{model} replicates`` and ``{model} claims``."""
    distances = {
        name: corrected_distances(read_replicates(paths[f"{name} replicates"], name, codes))
        for name in models
    }
    return distances, {name: read_claims(paths[f"{name} claims"], name, codes) for name in models}


def write_models(
    out: Any, agreement: Sequence[ModelAgreement], claims: Mapping[str, Sequence[ClaimRow]]
) -> None:
    """Write the tables ``agreement`` and ``claims``."""
    write_table(out.agreement, agreement, AGREEMENT_COLUMNS)
    write_table(out.claims, *side_by_side(claims))
