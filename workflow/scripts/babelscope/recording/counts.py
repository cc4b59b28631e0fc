"""How often each expert was active for the tokens of one language, and the file ``activations/{lang}.h5``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.experts.partition import Partition
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.study.errors import require
from babelscope.text.tokens import UNIT, Documents, documents_digest

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
        "gate_weight": DatasetSpec(
            "float64",
            ("block", "layer", "expert"),
            "of routed experts: sum of the weights that the router gave it where it chose it",
            low=0,
            optional=True,
        ),
        "router_entropy": DatasetSpec(
            "float64",
            ("block", "layer"),
            "of routed experts whose routers give logits: sum over the tokens of the entropy of the router's "
            "scores, nats",
            low=0,
            optional=True,
        ),
        "unit": replace(UNIT, dims=("block",)),
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
        Experts active for each token, over all layers; with routed experts those that one router chooses.
    n_experts_by_layer : tuple of int
        Routed experts of each layer, 0 for a dense one; empty where experts are groups of neurons.
    gate_weight : float64 (n_blocks, n_layers, n_experts) or None
        With routed experts: sum of the router's weights over the tokens for which it chose the expert.
    router_entropy : float64 (n_blocks, n_layers) or None
        With routed experts: sum over tokens of the entropy of the router's scores, nats; None where the
        routers give no logits.
    unit : int64 (n_blocks,) or None
        Of parallel documents, each a block of its own: what its id stands for.
    paired : bool
        True where the blocks of other languages hold translations of the same documents, in this order.

    Raises
    ------
    BabelscopeError
        Where ``n_active.sum() == top_k * n_tokens`` fails in a block; with routed experts where
        ``n_active.sum() == top_k * n_layers_moe * n_tokens`` does.
    """

    n_active: np.ndarray
    n_tokens: np.ndarray
    top_k: int
    n_experts_by_layer: tuple[int, ...] = ()
    gate_weight: np.ndarray | None = None
    router_entropy: np.ndarray | None = None
    unit: np.ndarray | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        require(
            self.n_active.ndim == 3 and self.n_active.shape[0] == len(self.n_tokens),
            f"counts of shape {self.n_active.shape} for {len(self.n_tokens)} blocks",
        )
        per_block = self.n_active.sum(axis=(1, 2))
        wrong = np.flatnonzero(per_block != self.n_active_per_token * self.n_tokens)
        require(
            len(wrong) == 0,
            f"blocks {wrong[:5].tolist()} do not hold {self.n_active_per_token} active experts per token; "
            f"top_k is {self.top_k}",
        )

    @property
    def n_layers_moe(self) -> int:
        """Layers with routed experts; 0 where experts are groups of neurons."""
        return sum(n > 0 for n in self.n_experts_by_layer)

    @property
    def n_active_per_token(self) -> int:
        """Experts active for each token, over all layers."""
        return self.top_k * (self.n_layers_moe or 1)

    @property
    def layers(self) -> np.ndarray:
        """Numbers of the model's layers that have experts, int64."""
        if not self.n_experts_by_layer:
            return np.arange(self.n_active.shape[1])
        return np.flatnonzero(self.n_experts_by_layer)

    def without_dense_layers(self) -> ActivationCounts:
        """The same with the layers that have experts alone: those of ``layers``, in their order."""
        if self.n_active.shape[1] == len(self.layers):
            return self
        names = ("n_active", "gate_weight", "router_entropy")
        arrays = {name: getattr(self, name) for name in names}
        return replace(self, **{k: v[:, self.layers] for k, v in arrays.items() if v is not None})

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
    if counts.unit is not None:
        datasets["unit"] = counts.unit
    attrs |= {"language": language, "variant": variant, "top_k": counts.top_k}
    if counts.n_experts_by_layer:
        attrs |= {"n_experts_by_layer": list(counts.n_experts_by_layer), "n_layers_moe": counts.n_layers_moe}
    sums = {"gate_weight": counts.gate_weight, "router_entropy": counts.router_entropy}
    datasets |= {name: values for name, values in sums.items() if values is not None}
    attrs |= {"experts_sha256": experts_sha256, "documents_sha256": documents_sha256}
    write_h5(path, ACTIVATIONS, datasets, model=model, **attrs)


def read_activations(
    path: str | Path,
    *,
    model: str,
    language: str,
    variant: str = "main",
    partition: Partition | None = None,
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
    return as_counts(datasets, attrs)


def as_counts(datasets: Mapping[str, Any], attrs: Mapping[str, Any]) -> ActivationCounts:
    """Counts out of the content of their file."""
    return ActivationCounts(
        top_k=attrs["top_k"], n_experts_by_layer=tuple(attrs.get("n_experts_by_layer", ())), **datasets
    )
