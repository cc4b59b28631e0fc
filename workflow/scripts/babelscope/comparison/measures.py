"""The measures of similarity: one row each, batched over replicates, layer by layer.

Any two stacks of languages can be compared, with any number of leading axes, so that a thousand bootstrap
replicates cost a few matrix products. To add a measure, add a row to ``MEASURES`` and run ``make docs``:
files, figures and evidence read the table (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frequencies:
    """A stack of languages, layer by layer.

    Attributes
    ----------
    by_layer : float64 (..., n_layers, n_languages, n_experts), in [0, 1].
    n_tokens : (..., n_languages), tokens behind each language's frequencies.
    """

    by_layer: np.ndarray
    n_tokens: np.ndarray


@dataclass(frozen=True)
class Measure:
    """One measure of similarity.

    Attributes
    ----------
    title, unit : of its figure and of the colour bar.
    distance_label : its symmetric distance in figures of the evidence.
    layers : every language of one stack against every language of another,
        float64 (..., n_layers, n_first, n_second); NaN where a layer has no value.
    total : puts layers together, float64 (..., n_first, n_second).
    distance : symmetric distance out of the total of one stack with itself.
    small_is_similar : True for a distance; decides the direction of the colour map.
    half_to_full : distance between two halves of a text, times this, is that between two texts of full size.
    low, high : bounds of the total.
    """

    title: str
    unit: str
    distance_label: str
    layers: Callable[[Frequencies, Frequencies], np.ndarray]
    total: Callable[[np.ndarray], np.ndarray]
    distance: Callable[[np.ndarray], np.ndarray]
    small_is_similar: bool = True
    half_to_full: float = 0.5
    low: float | None = 0.0
    high: float | None = None


def squared_distance(first: Frequencies, second: Frequencies) -> np.ndarray:
    """Squared Euclidean distance of two rows, by layer: float64 (..., n_layers, n_first, n_second), >= 0.

    Parameters
    ----------
    first, second : stacks with the same layers, experts and leading axes.
    """
    a, b = first.by_layer, second.by_layer
    norm_a = np.einsum("...e,...e->...", a, a)
    norm_b = np.einsum("...e,...e->...", b, b)
    norms = norm_a[..., :, None] + norm_b[..., None, :]
    squared = norms - 2 * (a @ np.swapaxes(b, -1, -2))
    # what rounding leaves where two rows are equal can be negative, and its root is not small
    return np.where(squared < 1e-14 * norms, 0.0, squared)


def kl_divergence(first: Frequencies, second: Frequencies) -> np.ndarray:
    """KL(first || second) of two rows in nats, by layer: float64 (..., n_layers, n_first, n_second), >= 0.

    Half a count is added to every cell, and each layer's row is normalised to a distribution. That keeps the
    divergence finite (Krichevsky and Trofimov 1981, "The performance of universal encoding").

    Parameters
    ----------
    first, second : stacks with the same layers, experts and leading axes. Not symmetric.
    """
    log_p, p = _log_distribution(first)
    log_q = log_p if second is first else _log_distribution(second)[0]
    entropy = np.einsum("...e,...e->...", p, log_p)
    divergence = entropy[..., None] - p @ np.swapaxes(log_q, -1, -2)
    # what rounding leaves where two rows are equal, of either sign
    return np.where(divergence < 1e-14 * np.abs(entropy)[..., None], 0.0, divergence)


def pearson_correlation(first: Frequencies, second: Frequencies) -> np.ndarray:
    """Pearson correlation of two rows, by layer: float64 (..., n_layers, n_first, n_second), in [-1, 1].

    NaN where one of the two rows is constant.

    Parameters
    ----------
    first, second : stacks with the same layers, experts and leading axes.
    """
    unit_a = _unit(first.by_layer)
    unit_b = unit_a if second is first else _unit(second.by_layer)
    return np.clip(unit_a @ np.swapaxes(unit_b, -1, -2), -1.0, 1.0)


def sum_of_layers(layers: np.ndarray) -> np.ndarray:
    """Sum over layers."""
    return layers.sum(axis=-3)


def root_of_sum(layers: np.ndarray) -> np.ndarray:
    """Root of the sum over layers: the Frobenius norm of the difference of all layers."""
    return np.sqrt(layers.sum(axis=-3))


def mean_of_layers(layers: np.ndarray) -> np.ndarray:
    """Mean over the layers that have a value; 0 where none has."""
    missing = np.isnan(layers)
    return np.where(missing, 0.0, layers).sum(axis=-3) / np.maximum((~missing).sum(axis=-3), 1)


def both_directions(total: np.ndarray) -> np.ndarray:
    """Mean of a square matrix and its transpose: the same value in both directions, in the same unit."""
    return (total + np.swapaxes(total, -1, -2)) / 2


MEASURES: dict[str, Measure] = {
    "euclidean": Measure(
        title="Euclidean distance between activation frequencies",
        unit="Frobenius norm",
        distance_label="Euclidean distance",
        layers=squared_distance,
        total=root_of_sum,
        distance=lambda total: total,
        half_to_full=float(1 / np.sqrt(2)),
    ),
    "kl": Measure(
        title="KL divergence of activation frequencies, KL(row || column)",
        unit="nats, summed over layers",
        distance_label="KL divergence, mean of both directions (nats)",
        layers=kl_divergence,
        total=sum_of_layers,
        distance=both_directions,
    ),
    "pearson": Measure(
        title="Pearson correlation of activation frequencies",
        unit="mean over layers",
        distance_label="1 - Pearson correlation",
        layers=pearson_correlation,
        total=mean_of_layers,
        distance=lambda total: 1 - total,
        small_is_similar=False,
        low=-1.0,
        high=1.0,
    ),
}


@dataclass(frozen=True)
class LayerMeasures:
    """Every language of one stack against every language of another, by layer.

    Attributes
    ----------
    by_measure : by name of the measure, float64 (..., n_layers, n_first, n_second).
    """

    by_measure: dict[str, np.ndarray]

    @property
    def squared(self) -> np.ndarray:
        """Squared Euclidean distance, >= 0."""
        return self.by_measure["euclidean"]

    @property
    def kl(self) -> np.ndarray:
        """KL(first || second) in nats, >= 0."""
        return self.by_measure["kl"]

    @property
    def pearson(self) -> np.ndarray:
        """Correlation in [-1, 1], NaN where one of the two rows is constant."""
        return self.by_measure["pearson"]


def compare_layers(
    first: np.ndarray,
    n_first: np.ndarray,
    second: np.ndarray | None = None,
    n_second: np.ndarray | None = None,
) -> LayerMeasures:
    """Compare two stacks of languages, or one with itself.

    Parameters
    ----------
    first : float64 (..., n_first, n_layers, n_experts), frequencies in [0, 1].
    n_first : (..., n_first), tokens behind each language's frequencies.
    second, n_second : the other stack; without them ``first`` is compared with itself.

    Returns
    -------
    By measure and layer, float64 (..., n_layers, n_first, n_second).
    """
    a = Frequencies(np.swapaxes(first, -3, -2), np.asarray(n_first, dtype=np.float64))
    b = a
    if second is not None:
        n_b = n_first if n_second is None else n_second
        b = Frequencies(np.swapaxes(second, -3, -2), np.asarray(n_b, dtype=np.float64))
    return LayerMeasures({name: measure.layers(a, b) for name, measure in MEASURES.items()})


def total_measures(layers: LayerMeasures) -> dict[str, np.ndarray]:
    """Put the layers of every measure together, float64 (..., n_first, n_second) each."""
    return {name: MEASURES[name].total(array) for name, array in layers.by_measure.items()}


def as_distances(measures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn square matrices of the measures into symmetric distances, by the same keys."""
    return {name: MEASURES[name].distance(array) for name, array in measures.items()}


def _log_distribution(stack: Frequencies) -> tuple[np.ndarray, np.ndarray]:
    counts = stack.by_layer * stack.n_tokens[..., None, :, None] + 0.5
    p = counts / counts.sum(axis=-1, keepdims=True)
    return np.log(p), p


def _unit(a: np.ndarray) -> np.ndarray:
    """Centred rows of length one; constant rows become NaN."""
    centred = a - a.mean(axis=-1, keepdims=True)
    norm = np.sqrt(np.einsum("...e,...e->...", centred, centred))
    norm[np.ptp(a, axis=-1) == 0] = np.nan
    return centred / norm[..., None]
