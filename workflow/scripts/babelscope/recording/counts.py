"""How often each expert was active for the tokens of one language, and the file ``activations/{lang}.h5``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.study.errors import require


@dataclass(frozen=True)
class ActivationCounts:
    """How often each expert was active for the tokens of one language.

    Attributes
    ----------
    n_active : int64 (n_blocks, n_layers, n_experts)
        Tokens of the block for which the expert was active.
    n_tokens : int64 (n_blocks,)
        Tokens of the block; a block is a group of whole documents.
    top_k : int
        Experts active for each token, over all layers.

    Raises
    ------
    BabelscopeError
        Where ``n_active.sum() == top_k * n_tokens`` fails in a block.
    """

    n_active: np.ndarray
    n_tokens: np.ndarray
    top_k: int

    def __post_init__(self) -> None:
        require(
            self.n_active.ndim == 3 and self.n_active.shape[0] == len(self.n_tokens),
            f"counts of shape {self.n_active.shape} for {len(self.n_tokens)} blocks",
        )
        per_block = self.n_active.sum(axis=(1, 2))
        wrong = np.flatnonzero(per_block != self.top_k * self.n_tokens)
        require(
            len(wrong) == 0,
            f"blocks {wrong[:5].tolist()} do not hold top_k ({self.top_k}) active experts for each token",
        )

    @property
    def frequency(self) -> np.ndarray:
        """``n_active / n_tokens`` over all blocks, float64 (n_layers, n_experts), in [0, 1]."""
        total = int(self.n_tokens.sum())
        require(total > 0, "no token was recorded")
        return self.n_active.sum(axis=0) / total


def count_top_k(top_fraction: float, n_layers: int, n_experts: int) -> int:
    """``top_k = round(top_fraction * n_layers * n_experts)`` (DESIGN: 800 of 32 x 256 for Llama 2 7B).

    Raises
    ------
    BabelscopeError
        Where no expert, or more than all, would be active.
    """
    top_k = round(top_fraction * n_layers * n_experts)
    require(
        1 <= top_k <= n_layers * n_experts,
        f"top_fraction {top_fraction} makes {top_k} active experts of {n_layers * n_experts}: "
        "at least one and at most all are allowed",
    )
    return top_k


def write_activations(
    path: str | Path, counts: ActivationCounts, model: str, language: str, **attrs: Any
) -> None:
    """Write ``activations/{lang}.h5`` or one shard of it, with attributes that say what was recorded."""
    datasets = {"n_active": counts.n_active, "n_tokens": counts.n_tokens}
    write_h5(path, "activations", datasets, model=model, language=language, top_k=counts.top_k, **attrs)


def read_activations(path: str | Path, model: str) -> ActivationCounts:
    """Read ``activations/{lang}.h5`` of this model."""
    datasets, attrs = read_h5(path, "activations", model=model)
    return ActivationCounts(datasets["n_active"], datasets["n_tokens"], attrs["top_k"])


def read_recordings(
    paths: Sequence[str | Path], model: str, languages: Sequence[str]
) -> list[ActivationCounts]:
    """Read the recordings of these languages; a file of another language is refused, and both are named."""
    counts = []
    for path, language in zip(paths, languages, strict=True):
        datasets, attrs = read_h5(path, "activations", model=model, language=language)
        counts.append(ActivationCounts(datasets["n_active"], datasets["n_tokens"], attrs["top_k"]))
    return counts
