"""Damage to texts by a change of the model, bits per byte above the dense one, with intervals over documents.

Documents of a text are resampled together for all changes, so that differences between changes are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

N_RESAMPLES = 2000


class ResampledText:
    """The held-out documents of one text as they are (first) and resampled.

    Parameters
    ----------
    n_bytes : int (n_documents,).
    dense : float (n_documents,), total nats of each document under the dense model.
    rng : of the resampling.
    """

    def __init__(self, n_bytes: Sequence[int], dense: Sequence[float], rng: np.random.Generator) -> None:
        n, self.dense = len(n_bytes), np.asarray(dense)
        self.draws = np.vstack([np.arange(n), rng.integers(n, size=(N_RESAMPLES, n))])
        self.bits = np.log(2) * np.asarray(n_bytes)[self.draws].sum(axis=1)

    def damage(self, nll: Sequence[float]) -> np.ndarray:
        """Of a change under which documents have these losses (nats), float64 (1 + N_RESAMPLES,)."""
        return (np.asarray(nll) - self.dense)[self.draws].sum(axis=1) / self.bits


def with_interval(name: str, values: np.ndarray, low: str, high: str) -> dict[str, float]:
    """Value and 95 % interval of something of which the first is the data's, the others are resampled."""
    ends = np.quantile(values[1:], [0.025, 0.975])
    return {name: float(values[0]), low: float(ends[0]), high: float(ends[1])}


def mean_nll(nll: Sequence[float], n_predicted: Sequence[int]) -> float:
    """Nats per predicted token."""
    return float(np.sum(nll) / np.sum(n_predicted))


def resample_texts(result: Mapping[str, Any], seed: Sequence[int]) -> dict[str, ResampledText]:
    """Every text of a record with ``n_bytes`` and ``dense`` by text; each has its own draws."""
    return {
        text: ResampledText(n_bytes, result["dense"][text], np.random.default_rng([*seed, number]))
        for number, (text, n_bytes) in enumerate(result["n_bytes"].items())
    }
