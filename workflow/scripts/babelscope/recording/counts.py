"""How often each expert was active for the tokens of one language, and the file ``activations/{lang}.h5``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.study.errors import BabelscopeError, require
from babelscope.text.tokens import Documents, documents_digest

ACTIVATIONS = Kind(
    "activations",
    "activations/{lang}.h5",
    "record_activations",
    ("model", "language", "variant", "experts_sha256", "documents_sha256"),
    {
        "n_active": DatasetSpec(
            "int64", ("block", "layer", "expert"), "tokens for which the expert was active", low=0
        ),
        "n_tokens": DatasetSpec("int64", ("block",), "tokens of each block of whole documents", low=0),
    },
    version=2,
)


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
    path: str | Path,
    counts: ActivationCounts,
    *,
    model: str,
    language: str,
    variant: str,
    experts_sha256: str,
    documents_sha256: str,
    **attrs: Any,
) -> None:
    """Write ``activations/{lang}.h5`` or one shard of it.

    Parameters
    ----------
    counts : what was counted.
    model, language, variant : what the file is; ``main`` is the study's own variant.
    experts_sha256, documents_sha256 : digests of the partition and of the documents that made the counts.
    attrs : further attributes.
    """
    datasets = {"n_active": counts.n_active, "n_tokens": counts.n_tokens}
    attrs |= {"language": language, "variant": variant, "top_k": counts.top_k}
    attrs |= {"experts_sha256": experts_sha256, "documents_sha256": documents_sha256}
    write_h5(path, ACTIVATIONS, datasets, model=model, **attrs)


def read_activations(
    path: str | Path,
    *,
    model: str,
    language: str,
    variant: str = "main",
    partition: ExpertPartition | None = None,
    corpus: Documents | None = None,
) -> ActivationCounts:
    """Read ``activations/{lang}.h5`` of this model, language and variant.

    Parameters
    ----------
    partition, corpus : where they are given, the counts must have been made with these experts and with the
        profile documents of this corpus.

    Raises
    ------
    BabelscopeError
        Where the file is wrong or not the one asked for; the message names what it is and what was asked.
    """
    asked: dict[str, Any] = {"model": model, "language": language, "variant": variant}
    if partition is not None:
        asked["experts_sha256"] = partition.sha256
    if corpus is not None:
        asked["documents_sha256"] = documents_digest(corpus, corpus.profile_idx)
    datasets, attrs = read_h5(path, ACTIVATIONS, **asked)
    return ActivationCounts(datasets["n_active"], datasets["n_tokens"], attrs["top_k"])


def read_recordings(
    paths: Sequence[str | Path], model: str, languages: Sequence[str], variant: str = "main"
) -> list[ActivationCounts]:
    """Read the counts of several languages, one file each, in the order of ``languages``.

    Raises
    ------
    BabelscopeError
        Where a file is wrong or not the one asked for, or two were made with other weights, other experts or
        another ``top_k``; the message names both.
    """
    counts: list[ActivationCounts] = []
    first: dict[str, Any] = {}
    for path, language in zip(paths, languages, strict=True):
        datasets, attrs = read_h5(path, ACTIVATIONS, model=model, language=language, variant=variant)
        own = {name: attrs.get(name) for name in ("weights_sha256", "experts_sha256", "top_k")}
        first = first or own
        for name, value in own.items():
            if value != first[name]:
                raise BabelscopeError(
                    f"{path}: made with {name} = {value!r}, {paths[0]} with {first[name]!r}; delete the "
                    f"older one and run again: rule {ACTIVATIONS.rule} remakes it"
                )
        counts.append(ActivationCounts(datasets["n_active"], datasets["n_tokens"], attrs["top_k"]))
    return counts
