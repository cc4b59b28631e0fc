"""The three measures of similarity, batched over replicates and layer by layer.

The definitions are those of ``comparison.similarity``; here any two stacks of languages can be compared, with
any number of leading axes, so that a thousand bootstrap replicates cost a few matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MEASURES = ("euclidean", "kl", "pearson")


@dataclass(frozen=True)
class LayerMeasures:
    """Every language of one stack against every language of another, by layer.

    Attributes
    ----------
    squared : float64 (..., n_layers, n_first, n_second), squared Euclidean distance, >= 0.
    kl : float64, KL(first || second) in nats, >= 0.
    pearson : float64 in [-1, 1], NaN where one of the two rows is constant.
    """

    squared: np.ndarray
    kl: np.ndarray
    pearson: np.ndarray


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
    """
    a = np.swapaxes(first, -3, -2)  # (..., layer, language, expert)
    b = a if second is None else np.swapaxes(second, -3, -2)
    n_b = n_first if n_second is None else n_second
    log_p, p = _log_distribution(a, n_first)
    log_q = log_p if second is None else _log_distribution(b, n_b)[0]
    entropy = np.einsum("...e,...e->...", p, log_p)
    kl = np.maximum(entropy[..., None] - p @ np.swapaxes(log_q, -1, -2), 0.0)
    unit_a = _unit(a)
    unit_b = unit_a if second is None else _unit(b)
    pearson = np.clip(unit_a @ np.swapaxes(unit_b, -1, -2), -1.0, 1.0)
    squared = _squared(a, b)
    if second is None:
        # rounding leaves a trace there, and its root is not small
        diagonal = np.arange(first.shape[-3])
        squared[..., diagonal, diagonal] = 0.0
    return LayerMeasures(squared, kl, pearson)


def total_measures(layers: LayerMeasures) -> dict[str, np.ndarray]:
    """Put layers together as DESIGN defines the measures.

    Returns
    -------
    ``euclidean``, ``kl`` and ``pearson``: float64 (..., n_first, n_second). ``pearson`` is 0 where no layer
    is left.
    """
    missing = np.isnan(layers.pearson)
    n_left = (~missing).sum(axis=-3)
    pearson = np.where(missing, 0.0, layers.pearson).sum(axis=-3) / np.maximum(n_left, 1)
    return {
        "euclidean": np.sqrt(layers.squared.sum(axis=-3)),
        "kl": layers.kl.sum(axis=-3),
        "pearson": pearson,
    }


def as_distances(measures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn square matrices of the measures into symmetric distances.

    Returns
    -------
    The same keys: the Euclidean distance itself, the mean of KL in both directions, and 1 - Pearson.
    """
    kl = measures["kl"]
    return {
        "euclidean": measures["euclidean"],
        "kl": (kl + np.swapaxes(kl, -1, -2)) / 2,
        "pearson": 1 - measures["pearson"],
    }


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norm_a = np.einsum("...e,...e->...", a, a)
    norm_b = np.einsum("...e,...e->...", b, b)
    product = a @ np.swapaxes(b, -1, -2)
    # rounding can leave a tiny negative number where the rows are equal
    return np.maximum(norm_a[..., :, None] + norm_b[..., None, :] - 2 * product, 0.0)


def _log_distribution(a: np.ndarray, n_tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = a * np.asarray(n_tokens, dtype=np.float64)[..., None, :, None] + 0.5
    p = counts / counts.sum(axis=-1, keepdims=True)
    return np.log(p), p


def _unit(a: np.ndarray) -> np.ndarray:
    """Centred rows of length one; constant rows become NaN."""
    centred = a - a.mean(axis=-1, keepdims=True)
    norm = np.sqrt(np.einsum("...e,...e->...", centred, centred))
    norm[np.ptp(a, axis=-1) == 0] = np.nan
    return centred / norm[..., None]
