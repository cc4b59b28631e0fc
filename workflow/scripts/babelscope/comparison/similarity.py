"""Distances and correlations between the activation frequencies of languages (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.whole import write_text
from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class Similarity:
    """All pairs of languages; the row is the first argument.

    Attributes
    ----------
    euclidean : float64 (n_languages, n_languages), Frobenius norm of the difference, >= 0.
    kl : float64, KL(row || column) in nats summed over layers, >= 0, not symmetric.
    pearson : float64 in [-1, 1], mean over layers of the correlation of the two rows.
    n_missing_layers : int32, layers left out of ``pearson`` because a row is constant.
    """

    euclidean: np.ndarray
    kl: np.ndarray
    pearson: np.ndarray
    n_missing_layers: np.ndarray


def stack_frequencies(counts: Sequence[ActivationCounts]) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of several languages as one array.

    Returns
    -------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    n_tokens : int64 (n_languages,).

    Raises
    ------
    BabelscopeError
        Where the languages were recorded with different experts or top_k.
    """
    kinds = {(count.n_active.shape[1:], count.top_k) for count in counts}
    if len(kinds) != 1:
        raise BabelscopeError(
            f"languages recorded in different ways (layers x experts, top_k): {sorted(kinds)}"
        )
    frequency = np.stack([count.frequency for count in counts])
    return frequency, np.array([count.n_tokens.sum() for count in counts], dtype=np.int64)


def compare_languages(frequency: np.ndarray, n_tokens: np.ndarray) -> Similarity:
    """Compare all pairs of languages.

    Parameters
    ----------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    n_tokens : int64 (n_languages,), tokens behind each language's frequencies; half a count is added to
        every cell before KL.
    """
    pearson, n_missing = pearson_correlation(frequency)
    return Similarity(euclidean_distance(frequency), kl_divergence(frequency, n_tokens), pearson, n_missing)


def euclidean_distance(frequency: np.ndarray) -> np.ndarray:
    """Frobenius norm of the difference, float64 (n_languages, n_languages)."""
    flat = frequency.reshape(len(frequency), -1)
    return np.stack([np.linalg.norm(flat - row, axis=1) for row in flat])


def kl_divergence(frequency: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """Sum over layers of KL(p || q); rows normalised after half a count is added to every cell.

    Returns
    -------
    float64 (n_languages, n_languages); ``[a, b]`` is KL(a || b) in nats.
    """
    counts = frequency * np.asarray(n_tokens, dtype=np.float64)[:, None, None] + 0.5
    p = counts / counts.sum(axis=2, keepdims=True)  # (language, layer, expert)
    log_p = np.log(p)
    entropy = np.einsum("ale,ale->a", p, log_p)
    cross = np.einsum("ale,ble->ab", p, log_p)
    # rounding can leave a tiny negative number where p equals q
    return np.maximum(entropy[:, None] - cross, 0.0)


def pearson_correlation(frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over layers of the correlation between the two languages' rows.

    A constant row has no correlation: that layer is left out of the pair's mean and counted.

    Returns
    -------
    pearson : float64 (n_languages, n_languages); 0 where no layer is left.
    n_missing_layers : int32 (n_languages, n_languages).
    """
    centred = frequency - frequency.mean(axis=2, keepdims=True)
    norm = np.linalg.norm(centred, axis=2)  # (language, layer)
    constant = np.ptp(frequency, axis=2) == 0
    unit = np.where(constant[:, :, None], 0.0, centred / np.where(constant, 1.0, norm)[:, :, None])
    per_layer = np.einsum("ale,ble->abl", unit, unit)
    missing = constant[:, None, :] | constant[None, :, :]
    n_missing = missing.sum(axis=2)
    n_left = frequency.shape[1] - n_missing
    pearson = per_layer.sum(axis=2, where=~missing) / np.maximum(n_left, 1)
    return np.clip(pearson, -1.0, 1.0), n_missing.astype(np.int32)


def write_similarity(
    path: str | Path, tables: Sequence[str], similarity: Similarity, languages: Sequence[str], model: str
) -> None:
    """Write ``similarity.h5`` and one CSV a measure, row = first argument."""
    datasets = {**vars(similarity), "languages": list(languages)}
    write_h5(path, "similarity", datasets, model=model)
    for table, measure in zip(tables, ("euclidean", "kl", "pearson"), strict=True):
        matrix = getattr(similarity, measure)
        lines = [
            f"{code},{','.join(f'{v:.6g}' for v in row)}" for code, row in zip(languages, matrix, strict=True)
        ]
        write_text(table, "\n".join([",".join(["language", *languages]), *lines]) + "\n")


def read_similarity(path: str | Path, model: str) -> tuple[Similarity, list[str]]:
    """Read ``similarity.h5``: all measures, and the language codes."""
    datasets, _ = read_h5(path, "similarity", model=model)
    languages = list(datasets.pop("languages"))
    return Similarity(**datasets), languages
