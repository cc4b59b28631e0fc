"""The expert of each neuron, and the file ``experts.h5``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.experts.routed import METHOD, RoutedExperts, find_routed_experts
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.model.info import ModelInfo
from babelscope.study.errors import BabelscopeError, require

EXPERTS = Kind(
    "experts",
    "experts.h5",
    "assemble_partition",
    ("model", "variant"),
    {
        "labels": DatasetSpec(
            "int32",
            ("layer", "neuron"),
            "expert of each neuron; of routed experts: their neurons one expert after the other, -1 where "
            "a layer has fewer experts",
            low=-1,
        )
    },
    version=2,
)


@dataclass(frozen=True)
class ExpertPartition:
    """The expert of each neuron.

    Attributes
    ----------
    labels : int32 (n_layers, d_ff)
        Values in ``[0, n_experts)``; in every layer the sizes of the experts differ by at most one.
    n_experts : int
        Experts per layer.
    """

    labels: np.ndarray
    n_experts: int

    def __post_init__(self) -> None:
        require(self.labels.ndim == 2, f"labels have shape {self.labels.shape}, need (n_layers, d_ff)")
        d_ff = self.labels.shape[1]
        require(
            0 < self.n_experts <= d_ff, f"{self.n_experts} experts cannot be made of {d_ff} neurons per layer"
        )
        require(
            bool((self.labels >= 0).all() and (self.labels < self.n_experts).all()),
            f"an expert label outside 0 to {self.n_experts - 1}",
        )
        sizes = self.sizes
        require(
            int(sizes.max()) - int(sizes.min()) <= 1,
            f"experts of {sizes.min()} to {sizes.max()} neurons in one partition: not balanced",
        )

    @property
    def n_layers(self) -> int:
        return self.labels.shape[0]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Neurons of every expert, int64 (n_layers, n_experts)."""
        return np.stack([np.bincount(row, minlength=self.n_experts) for row in self.labels])

    @cached_property
    def sha256(self) -> str:
        """Digest of the labels and the number of experts."""
        digest = hashlib.sha256(f"{self.labels.shape} {self.n_experts};".encode())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i4").tobytes())
        return digest.hexdigest()


Partition = ExpertPartition | RoutedExperts


def write_partition(
    path: str | Path, partition: Partition, *, model: str, variant: str = "main", **attrs: Any
) -> None:
    """Write ``experts.h5``, whole or not at all.

    Parameters
    ----------
    model : name of the model. variant : name of the partition; ``main`` is the study's own.
    attrs : what made it, kept as attributes: method, matrix, seed, ...
    """
    attrs |= {"variant": variant, "n_experts": partition.n_experts}
    if isinstance(partition, RoutedExperts):
        attrs |= {"method": METHOD, "top_k": partition.top_k, "d_expert": partition.d_expert}
        attrs |= {"n_experts_by_layer": list(partition.n_experts_by_layer)}
    write_h5(path, EXPERTS, {"labels": partition.labels}, model=model, **attrs)


def read_partition(path: str | Path, info: ModelInfo, variant: str = "main") -> ExpertPartition:
    """Read ``experts.h5`` of a model whose experts are groups of neurons; see ``read_any_partition``.

    Raises
    ------
    BabelscopeError
        Also where the experts are those of routers: what asks for groups of neurons cannot be done with them.
    """
    partition = read_any_partition(path, info, variant)
    if isinstance(partition, RoutedExperts):
        raise BabelscopeError(
            f"{path}: made with experts.method: {METHOD}; this needs experts that are groups of neurons of "
            f"dense layers, which family {info.family} does not have"
        )
    return partition


def read_any_partition(path: str | Path, info: ModelInfo, variant: str = "main") -> Partition:
    """Read ``experts.h5`` of a model and variant: groups of neurons, or routed experts.

    Raises
    ------
    BabelscopeError
        Where the file is damaged, of another model, variant or kind, or of another number of layers or
        neurons than the model has; the message names the rule that remakes it.
    """
    datasets, attrs = read_h5(path, EXPERTS, model=info.name, variant=variant)
    if attrs.get("method") == METHOD:
        routed = RoutedExperts(tuple(attrs["n_experts_by_layer"]), attrs["top_k"], attrs["d_expert"])
        if routed != find_routed_experts(info):
            raise BabelscopeError(
                f"{path}: {routed}, the model has {find_routed_experts(info)}; {EXPERTS.remake}"
            )
        return routed
    labels = datasets["labels"]
    if labels.shape != (info.n_layers, info.d_ff):
        raise BabelscopeError(
            f"{path}: labels of shape {labels.shape}, the model has {(info.n_layers, info.d_ff)}; "
            "delete it and run again: rule assemble_partition remakes it"
        )
    return ExpertPartition(labels, attrs["n_experts"])
