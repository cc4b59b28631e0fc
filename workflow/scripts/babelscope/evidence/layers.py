"""Similarity, sharing and inequality from the first layer to the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.comparison.measures import LayerMeasures
from babelscope.evidence.draws import Replicates
from babelscope.statistics.bootstrap import Estimate, estimate

# statistic: lowest and highest possible value
LAYER_STATISTICS: dict[str, tuple[float | None, float | None]] = {
    "pearson": (-1.0, 1.0),
    "euclidean": (0.0, None),
    "share_all": (0.0, 1.0),
    "share_one": (0.0, 1.0),
    "share_none": (0.0, 1.0),
    "gini": (0.0, 1.0),
    "entropy": (0.0, 1.0),
}


@dataclass(frozen=True)
class LayerRow:
    """One statistic of one layer; ``language`` is a code, or ``all`` for a statistic over all languages."""

    layer: int
    language: str
    statistic: str
    value: float
    corrected: float
    low: float
    high: float


def layer_statistics(frequency: np.ndarray, layers: LayerMeasures) -> dict[str, np.ndarray]:
    """Smooth statistics of every layer.

    Parameters
    ----------
    frequency : float64 (..., n_languages, n_layers, n_experts), in [0, 1].
    layers : the same languages compared with each other.

    Returns
    -------
    ``pearson``, ``euclidean`` : float64 (..., n_layers), mean over pairs of languages; correlations that are
        not defined are left out.
    ``gini``, ``entropy`` : float64 (..., n_languages, n_layers), see ``gini`` and ``normalised_entropy``.
    """
    rows, columns = np.triu_indices(frequency.shape[-3], 1)
    return {
        "pearson": mean_correlation(layers),
        "euclidean": np.sqrt(layers.squared[..., rows, columns]).mean(axis=-1),
        "gini": gini(frequency),
        "entropy": normalised_entropy(frequency),
    }


def mean_correlation(layers: LayerMeasures) -> np.ndarray:
    """Mean correlation of two languages by layer, float64 (..., n_layers); 0 where none is defined."""
    rows, columns = np.triu_indices(layers.pearson.shape[-1], 1)
    pearson = layers.pearson[..., rows, columns]
    return np.nansum(pearson, axis=-1) / np.maximum((~np.isnan(pearson)).sum(axis=-1), 1)


def layer_shares(frequency: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """Shares of every layer's experts that are high-frequency in all languages, in exactly one, in none.

    Returns
    -------
    ``share_all``, ``share_one``, ``share_none`` : float64 (..., n_layers), in [0, 1].
    """
    n_high = (frequency >= threshold).sum(axis=-3)  # (..., layer, expert)
    wanted = {"share_all": frequency.shape[-3], "share_one": 1, "share_none": 0}
    return {name: (n_high == m).mean(axis=-1) for name, m in wanted.items()}


def gini(values: np.ndarray) -> np.ndarray:
    """Gini coefficient along the last axis: 0 where all are equal, near 1 where one has everything.

    For values spread evenly between zero and twice their mean it is 1/3, for exponential ones 1/2. Rows of
    zeros give 0.
    """
    n = values.shape[-1]
    total = values.sum(axis=-1)
    ranked = np.sort(values, axis=-1) @ (2.0 * np.arange(1, n + 1) - n - 1)
    return np.where(total > 0, ranked / np.where(total > 0, n * total, 1.0), 0.0)


def normalised_entropy(values: np.ndarray) -> np.ndarray:
    """Entropy of the values as shares of their sum, over log n; in [0, 1], 1 for a row of zeros."""
    total = values.sum(axis=-1)
    plogp = np.einsum("...e,...e->...", values, np.log(np.where(values > 0, values, 1.0)))
    safe = np.where(total > 0, total, 1.0)
    entropy = np.log(safe) - plogp / safe
    return np.where(total > 0, entropy / np.log(values.shape[-1]), 1.0)


def tabulate_layers(replicates: Replicates, codes: Sequence[str]) -> list[LayerRow]:
    """Rows of ``layer_statistics`` and ``layer_shares`` from one bootstrap pass, some also by language."""
    table: list[LayerRow] = []
    for name, (lowest, highest) in LAYER_STATISTICS.items():
        found = replicates.estimate(name, lowest, highest)
        if found.value.ndim == 1:
            table += _rows(name, "all", found)
            continue
        mean = estimate(replicates.values[name].mean(axis=0), replicates.drawn[name].mean(axis=1))
        table += _rows(name, "all", mean.clipped(lowest, highest))
        for idx, code in enumerate(codes):
            parts = (found.value, found.corrected, found.low, found.high)
            table += _rows(name, code, Estimate(*(part[idx] for part in parts)))
    return table


def _rows(name: str, language: str, found: Estimate) -> list[LayerRow]:
    columns = zip(found.value, found.corrected, found.low, found.high, strict=True)
    return [LayerRow(layer, language, name, *map(float, row)) for layer, row in enumerate(columns)]
