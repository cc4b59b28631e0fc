"""The routed experts of a mixture-of-experts model as its partition: how many each layer has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from babelscope.model.families import ROUTED_FAMILIES, find_family
from babelscope.model.folder import read_model_config
from babelscope.model.info import ModelInfo
from babelscope.model.weights import read_index, routed_experts
from babelscope.study.errors import BabelscopeError, require

METHOD = "router"


@dataclass(frozen=True)
class RoutedExperts:
    """The experts that a model's routers choose from.

    Attributes
    ----------
    n_experts_by_layer : routed experts of each layer; 0 for a dense one.
    top_k : experts that a router chooses for a token.
    d_expert : neurons of one expert.
    """

    n_experts_by_layer: tuple[int, ...]
    top_k: int
    d_expert: int

    def __post_init__(self) -> None:
        require(self.n_experts > 0, "no layer has routed experts")
        smallest = min(n for n in self.n_experts_by_layer if n)
        require(
            1 <= self.top_k <= smallest,
            f"a router chooses {self.top_k} of {smallest} experts: at least one and at most all are allowed",
        )

    @property
    def n_layers(self) -> int:
        return len(self.n_experts_by_layer)

    @property
    def n_experts(self) -> int:
        """Experts of the layer that has most."""
        return max(self.n_experts_by_layer, default=0)

    @property
    def n_layers_moe(self) -> int:
        """Layers with routed experts."""
        return sum(n > 0 for n in self.n_experts_by_layer)

    @cached_property
    def labels(self) -> np.ndarray:
        """Expert of each neuron, int32 (n_layers, n_experts * d_expert), one after the other; -1: none."""
        row = np.repeat(np.arange(self.n_experts, dtype=np.int32), self.d_expert)
        return np.stack([np.where(row < n, row, np.int32(-1)) for n in self.n_experts_by_layer])

    @cached_property
    def sha256(self) -> str:
        """Digest of all that makes the partition."""
        text = f"{METHOD} {self.n_experts_by_layer} {self.top_k} {self.d_expert}"
        return hashlib.sha256(text.encode()).hexdigest()


def find_routed_experts(info: ModelInfo) -> RoutedExperts:
    """The routed experts of a prepared model, read off its weights.

    Raises
    ------
    BabelscopeError
        For a family without routed experts, a model whose layers are all dense, or a router that chooses no
        expert, or more than there are; the message names model, family and layer.
    """
    where = f"model {info.name}: experts.method: {METHOD}: family {info.family}"
    index = read_index(info.path)
    family = find_family(info.family, index)
    if family.routing is None:
        raise BabelscopeError(
            f"{where} has no routed experts, every layer is dense; families that have them: "
            f"{', '.join(ROUTED_FAMILIES)}"
        )
    found = routed_experts(index, family, info.n_layers)
    if not any(found):
        raise BabelscopeError(f"{where}: no layer has a router ({family.routing.stored}), all are dense")
    top_k = read_model_config(Path(info.path)).get("num_experts_per_tok", 0)
    for layer, n_experts in enumerate(found):
        if n_experts and not 1 <= top_k <= n_experts:
            raise BabelscopeError(
                f"{where}: the router of layer {layer} chooses {top_k} of {n_experts} experts "
                "(num_experts_per_tok of config.json); need at least one and at most all"
            )
    return RoutedExperts(found, top_k, info.d_ff)
