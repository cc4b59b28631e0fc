"""What one neuron more costs in each layer of a model, the sizes of layers that follow, and their file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.model.info import ModelInfo
from babelscope.pruning.choice import keep_best
from babelscope.study.errors import BabelscopeError, require

LAYER_COSTS = Kind(
    "layer_costs",
    "layer_costs.h5",
    "measure_layer_costs",
    ("model", "languages", "n_documents", "method", "documents_sha256"),
    {
        "costs": DatasetSpec(
            "float64",
            ("layer", "removed"),
            "nats per token by which the loss rises, to second order, when one neuron more of that layer "
            "alone goes, in the order of its elimination; rising along each row",
            low=0,
        )
    },
)
# Of a layer's neurons, those that stay whatever the others cost: no layer loses all.
FLOOR = 1 / 64


@dataclass(frozen=True)
class Reference:
    """What costs are measured on, and for what.

    Attributes
    ----------
    languages : whose documents, in the order of their codes.
    n_documents : profile documents of all of them together, as many of each.
    method : row of ``METHODS``; it says which tokens count, and how.
    """

    languages: Sequence[str]
    n_documents: int
    method: str


@dataclass(frozen=True)
class LayerCosts:
    """What a neuron costs in each layer.

    Attributes
    ----------
    costs : float64 (n_layers, d_ff), nats per token, in the order of each layer's elimination, rising.
    """

    costs: np.ndarray

    def __post_init__(self) -> None:
        require(self.costs.ndim == 2, f"costs have shape {self.costs.shape}, need (n_layers, d_ff)")
        require(bool((np.diff(self.costs, axis=1) >= 0).all()), "costs that do not rise along a layer")

    @cached_property
    def sha256(self) -> str:
        """Digest of the costs."""
        digest = hashlib.sha256(f"{self.costs.shape};".encode())
        digest.update(np.ascontiguousarray(self.costs, dtype="<f8").tobytes())
        return digest.hexdigest()

    def sizes(self, share: float) -> np.ndarray:
        """Neurons to keep, int (n_layers,): the last one to go costs every layer the same.

        Of all layers' neurons, in the order of their elimination, the cheapest go. Every layer keeps at least
        ``FLOOR`` of its neurons, or ``share`` where that is less, and one in any case.

        Parameters
        ----------
        share : of the neurons of all layers that stays.
        """
        n_layers, d_ff = self.costs.shape
        least = max(1, int(min(FLOOR, share) * d_ff))
        rising = self.costs.copy()
        rising[:, d_ff - least :] = np.inf
        return keep_best(rising, max(n_layers * least, round(share * rising.size))).sum(axis=1)


def write_layer_costs(
    path: str | Path, costs: LayerCosts, model: str, reference: Reference, *, documents_sha256: str
) -> None:
    """Write ``layer_costs.h5``, whole or not at all; ``documents_sha256``: of their tokens."""
    said = {**asdict(reference), "languages": list(reference.languages)}
    datasets = {"costs": costs.costs}
    write_h5(path, LAYER_COSTS, datasets, model=model, documents_sha256=documents_sha256, **said)


def read_layer_costs(path: str | Path, info: ModelInfo, reference: Reference | None = None) -> LayerCosts:
    """Read ``layer_costs.h5`` of this model that was measured in this way; None: in any.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, made otherwise, or of other layers than the model's; the message
        names the rule that remakes it.
    """
    asked = {} if reference is None else {**asdict(reference), "languages": list(reference.languages)}
    costs = read_h5(path, LAYER_COSTS, model=info.name, **asked)[0]["costs"]
    if costs.shape != (info.n_layers, info.d_ff):
        raise BabelscopeError(
            f"{path}: costs of {costs.shape[0]} layers of {costs.shape[1]} neurons, the model has "
            f"{info.n_layers} of {info.d_ff}; {LAYER_COSTS.remake}"
        )
    return LayerCosts(costs)
