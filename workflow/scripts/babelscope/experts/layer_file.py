"""The experts of one layer as a file ``experts/layer_{layer}.h5``, and all layers joined to one partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelscope.experts.partition import ExpertPartition, write_partition
from babelscope.experts.routed import METHOD, find_routed_experts
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.model.info import ModelInfo
from babelscope.study.errors import BabelscopeError

if TYPE_CHECKING:
    from babelscope.experts.clustering import ClusteringResult, ReferenceSse

LAYER_EXPERTS = Kind(
    "layer_experts",
    "experts/layer_{layer}.h5",
    "cluster_layer",
    ("model", "layer"),
    {
        "labels": DatasetSpec("int32", ("neuron",), "expert of each neuron", low=0),
        "sse": DatasetSpec("float64", (), "sum of squared distances to the expert centroids", low=0),
        "sse_random": DatasetSpec("float64", (), "the same for a random balanced partition", low=0),
        "sse_unconstrained": DatasetSpec(
            "float64", (), "the same where sizes are free, starting from labels", low=0
        ),
    },
)


def layer_of(path: str | Path) -> int:
    """Number of the layer that a file ``layer_{layer}.h5`` is named after."""
    return int(Path(path).stem.removeprefix("layer_"))


def write_layer_experts(
    path: str | Path,
    result: ClusteringResult,
    reference: ReferenceSse,
    model: str,
    layer: int,
    matrix: str,
) -> None:
    """Write ``experts/layer_{layer}.h5``: labels, sums of squares and what the solver reports.

    Parameters
    ----------
    result : of ``cluster_neurons``. reference : of ``reference_sse`` for the same rows and labels.
    model : name of the model. layer : number of the layer.
    matrix : whose rows were clustered: ``up``, ``gate``, ``down`` or ``both``.
    """
    datasets = {
        "labels": result.labels,
        "sse": np.float64(result.sse),
        "sse_random": np.float64(reference.random),
        "sse_unconstrained": np.float64(reference.unconstrained),
    }
    asked = ("method", "seed", "n_starts", "normalize_rows", "device")
    names = (*asked, "n_steps", "n_swaps", "n_moves", "seconds")
    attrs: dict[str, Any] = {name: getattr(result, name) for name in names}
    attrs |= {"layer": layer, "matrix": matrix, "n_experts": int(result.labels.max()) + 1}
    write_h5(path, LAYER_EXPERTS, datasets, model=model, **attrs)


@dataclass(frozen=True)
class LayerSse:
    """Sums of squared errors of the layers' partitions.

    Attributes
    ----------
    method : how they were made, the same for all layers.
    sse, sse_random, sse_unconstrained : float64 (n_layers,): of the partition, of a random one, and of one
        that grew out of it with free sizes.
    """

    method: str
    sse: np.ndarray
    sse_random: np.ndarray
    sse_unconstrained: np.ndarray


def read_layer_sse(paths: Sequence[str], model: str) -> LayerSse:
    """Read the sums of squared errors of all layers.

    Parameters
    ----------
    paths : ``experts/layer_{layer}.h5`` of layers 0, 1, ... model : name of the model.

    Raises
    ------
    BabelscopeError
        Where a file is damaged, or of another model or layer than its place says.
    """
    found = [read_h5(path, LAYER_EXPERTS, model=model, layer=layer) for layer, path in enumerate(paths)]
    names = ("sse", "sse_random", "sse_unconstrained")
    columns = [np.array([float(datasets[name]) for datasets, _ in found]) for name in names]
    return LayerSse(found[0][1]["method"], *columns)


def assemble_layers(paths: Sequence[str], info: ModelInfo) -> tuple[ExpertPartition, dict[str, Any]]:
    """Join the files of all layers to one partition.

    Parameters
    ----------
    paths : ``experts/layer_{layer}.h5`` of layers 0, 1, ... info : the model they are of.

    Returns
    -------
    The partition, and the attributes that all its layers share.

    Raises
    ------
    BabelscopeError
        Where a file is of another layer, another size or another method than the rest.
    """
    shared_names = ("method", "seed", "matrix", "n_experts", "n_starts", "normalize_rows")
    rows = []
    shared: dict[str, Any] = {}
    for layer, path in enumerate(paths):
        datasets, attrs = read_h5(path, LAYER_EXPERTS, model=info.name, layer=layer)
        if datasets["labels"].shape != (info.d_ff,):
            raise BabelscopeError(f"{path}: {len(datasets['labels'])} neurons, the model has {info.d_ff}")
        own = {name: attrs[name] for name in shared_names}
        if layer and own != shared:
            raise BabelscopeError(
                f"{path}: made with {own}, the layers before with {shared}; delete the older ones"
            )
        shared = own
        rows.append(datasets["labels"])
    return ExpertPartition(np.stack(rows), shared["n_experts"]), shared


def assemble_partition(path: str | Path, info: ModelInfo, layers: Sequence[str], method: str) -> None:
    """Write ``experts.h5`` of a model: its routed experts, or the files of all layers joined.

    Parameters
    ----------
    path : of the target. info : the prepared model.
    layers : ``experts/layer_{layer}.h5`` of layers 0, 1, ...; none for the method ``router``.
    method : of the configuration.

    Raises
    ------
    BabelscopeError
        As ``find_routed_experts`` and ``assemble_layers``.
    """
    if method == METHOD:
        write_partition(path, find_routed_experts(info), model=info.name)
    else:
        partition, attrs = assemble_layers(layers, info)
        write_partition(path, partition, model=info.name, **attrs)
