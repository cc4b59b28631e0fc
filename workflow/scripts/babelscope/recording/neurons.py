"""Statistics of every neuron over the tokens of one language, and the file ``neurons/{lang}.h5``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.study.errors import require
from babelscope.text.tokens import Documents, documents_digest

NEURON_BLOCKS = 10
MOMENTS = ("sum", "sum_of_squares", "sum_of_magnitudes")
# float32 sums of a batch; the invariants hold up to their rounding
_ROUNDING = 1e-4

_AXES = ("block", "layer", "neuron")
_COUNTS = {
    "n_positive": DatasetSpec(
        "int64", _AXES, "tokens with a positive gate; without a gate: with a positive activation", low=0
    ),
    "n_tokens": DatasetSpec("int64", ("block",), "tokens of each block of whole documents", low=0),
}
NEURONS = Kind(
    "neurons",
    "neurons/{lang}.h5",
    "record_activations",
    ("model", "language", "documents_sha256"),
    {
        **_COUNTS,
        "sum": DatasetSpec("float64", _AXES, "sum of the activation over the tokens", compressed=False),
        "sum_of_squares": DatasetSpec("float64", _AXES, "sum of its squares", low=0, compressed=False),
        "sum_of_magnitudes": DatasetSpec(
            "float64", _AXES, "sum of its absolute values", low=0, compressed=False
        ),
    },
)
NEURON_SHARD = Kind(
    "neuron_shard",
    "neurons/{lang}/shard_{shard}.h5",
    "record_activations",
    ("model", "language", "documents_sha256"),
    {
        **_COUNTS,
        "whole": DatasetSpec("float64", ("moment", *_AXES), f"whole part of {', '.join(MOMENTS)}"),
        "fraction": DatasetSpec(
            "float64", ("moment", *_AXES), "what is to be added to it", -0.5, 0.5, compressed=False
        ),
    },
)


@dataclass(frozen=True)
class NeuronStatistics:
    """Statistics of every neuron over the tokens of one language.

    Attributes
    ----------
    n_positive : int64 (n_blocks, n_layers, d_ff)
        Tokens of the block with a positive gate; in families without a gate, with a positive activation.
    sum, sum_of_squares, sum_of_magnitudes : float64 (n_blocks, n_layers, d_ff)
        Over the tokens of the block, of the activation that enters the down projection.
    n_tokens : int64 (n_blocks,)
        Tokens of the block; a block is a group of whole documents.

    Raises
    ------
    BabelscopeError
        Where the shapes differ, a neuron is positive more often than there are tokens, or no activations
        have such sums: ``|sum| <= sum_of_magnitudes`` and ``sum_of_magnitudes**2 <= n_tokens *
        sum_of_squares``.
    """

    n_positive: np.ndarray
    sum: np.ndarray
    sum_of_squares: np.ndarray
    sum_of_magnitudes: np.ndarray
    n_tokens: np.ndarray

    def __post_init__(self) -> None:
        shapes = {getattr(self, name).shape for name in ("n_positive", *MOMENTS)}
        require(
            len(shapes) == 1 and self.n_positive.ndim == 3 and len(self.n_positive) == len(self.n_tokens),
            f"statistics of neurons of shapes {sorted(shapes)} for {len(self.n_tokens)} blocks",
        )
        n_tokens = self.n_tokens[:, None, None]
        slack = 1 + _ROUNDING, _ROUNDING * n_tokens
        checks = {
            "n_positive is more than n_tokens": self.n_positive > n_tokens,
            "|sum| is more than sum_of_magnitudes": np.abs(self.sum)
            > slack[0] * self.sum_of_magnitudes + slack[1],
            "sum_of_magnitudes**2 is more than n_tokens * sum_of_squares": self.sum_of_magnitudes
            > slack[0] * np.sqrt(n_tokens * self.sum_of_squares) + slack[1],
        }
        for what, wrong in checks.items():
            found = np.argwhere(wrong)
            where = dict(zip(_AXES, found[0].tolist(), strict=True)) if len(found) else {}
            require(len(found) == 0, f"statistics of neurons: {what} for {where}")

    @property
    def probability(self) -> np.ndarray:
        """Share of the tokens with a positive gate, float64 (n_layers, d_ff), in [0, 1]."""
        return self._per_token("n_positive")

    @property
    def mean(self) -> np.ndarray:
        """Mean activation per token, float64 (n_layers, d_ff)."""
        return self._per_token("sum")

    @property
    def mean_square(self) -> np.ndarray:
        """Mean square of the activation, float64 (n_layers, d_ff)."""
        return self._per_token("sum_of_squares")

    @property
    def mean_magnitude(self) -> np.ndarray:
        """Mean absolute value of the activation, float64 (n_layers, d_ff)."""
        return self._per_token("sum_of_magnitudes")

    @property
    def variance(self) -> np.ndarray:
        """Variance of the activation over the tokens, float64 (n_layers, d_ff), never negative."""
        return np.maximum(self.mean_square - self.mean**2, 0.0)

    def _per_token(self, name: str) -> np.ndarray:
        total = int(self.n_tokens.sum())
        require(total > 0, "no token was recorded")
        return getattr(self, name).sum(axis=0) / total


@dataclass
class NeuronTotals:
    """Sums over tokens that are the same, bit by bit, in whatever order and groups they are added.

    A term is rounded to a multiple of 2**-40 and split into the nearest whole number and the rest. Whole
    numbers of up to 2**53, and up to 2**13 rests at a time, are added in float64 without any rounding.

    Attributes
    ----------
    n_positive : int64 (n_blocks, n_layers, d_ff).
    whole, fraction : float64 (3, n_blocks, n_layers, d_ff), in the order of ``MOMENTS``; a sum is
        ``whole + fraction``.
    n_tokens : int64 (n_blocks,).
    """

    n_positive: np.ndarray
    whole: np.ndarray
    fraction: np.ndarray
    n_tokens: np.ndarray

    @classmethod
    def zeros(cls, n_blocks: int, n_layers: int, d_ff: int) -> NeuronTotals:
        """Nothing added."""
        shape = (n_blocks, n_layers, d_ff)
        moments = np.zeros((len(MOMENTS), *shape))
        n_tokens = np.zeros(n_blocks, dtype=np.int64)
        return cls(np.zeros(shape, dtype=np.int64), moments, moments.copy(), n_tokens)

    def add(self, new: NeuronTotals, first_block: int = 0) -> None:
        """Add totals whose block ``i`` belongs into row ``(first_block + i) % n_blocks``.

        Their fractions are at most a half; arrays of as many blocks may be taken over as they are.
        """
        if not (first_block or self.n_tokens.any()) and len(new.n_tokens) == len(self.n_tokens):
            vars(self).update(vars(new))
            return
        for i, n_tokens in enumerate(new.n_tokens):
            row = (first_block + i) % len(self.n_tokens)
            self.n_tokens[row] += n_tokens
            self.n_positive[row] += new.n_positive[i]
            whole, fraction = self.whole[:, row], self.fraction[:, row]
            whole += new.whole[:, i]
            fraction += new.fraction[:, i]
            carry = np.round(fraction)
            whole += carry
            fraction -= carry

    def finished(self) -> NeuronStatistics:
        """The statistics, each sum rounded once; checked."""
        moments = dict(zip(MOMENTS, self.whole + self.fraction, strict=True))
        return NeuronStatistics(n_positive=self.n_positive, n_tokens=self.n_tokens, **moments)


def write_neurons(path: str | Path, found: NeuronTotals, **attrs: Any) -> None:
    """Write ``neurons/{lang}.h5``; ``attrs`` must say what ``NEURONS`` says, and may say more."""
    done = found.finished()
    datasets = {name: getattr(done, name) for name in NEURONS.datasets}
    write_h5(path, NEURONS, datasets, **attrs)


def write_neuron_shard(path: str | Path, found: NeuronTotals, **attrs: Any) -> None:
    """Write one shard, whose sums are kept without rounding so that shards add up to one job's sums."""
    write_h5(path, NEURON_SHARD, {name: getattr(found, name) for name in NEURON_SHARD.datasets}, **attrs)


def read_neurons(
    path: str | Path, *, model: str, language: str, corpus: Documents | None = None
) -> NeuronStatistics:
    """Read ``neurons/{lang}.h5`` of this model and language.

    Parameters
    ----------
    corpus : where it is given, the statistics must come from the profile documents of this corpus.

    Raises
    ------
    BabelscopeError
        Where the file is wrong or not the one asked for; the message names what it is and what was asked.
    """
    asked = {"model": model, "language": language}
    if corpus is not None:
        asked["documents_sha256"] = documents_digest(corpus, corpus.profile_idx)
    datasets, _ = read_h5(path, NEURONS, **asked)
    return NeuronStatistics(**datasets)
