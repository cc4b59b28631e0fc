"""Models with some experts only: neurons are cut out, the model becomes smaller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from babelscope.experts.partition import ExpertPartition
from babelscope.model.layers import FfnLayer, pad_neurons, take_neurons
from babelscope.model.load import StudyModel
from babelscope.study.errors import BabelscopeError

# Matrix products reach their speed at widths that are multiples of this, on processors and GPUs alike.
FAST_WIDTHS = 64


def kept_neurons(keep: np.ndarray, partition: ExpertPartition) -> list[np.ndarray]:
    """Neurons of the kept experts, in their old order.

    Parameters
    ----------
    keep : bool (n_layers, n_experts).
    partition : experts of every layer.

    Returns
    -------
    For each layer int64 (n_kept,), ascending.

    Raises
    ------
    BabelscopeError
        Where the shapes do not fit.
    """
    if keep.shape != (partition.n_layers, partition.n_experts):
        raise BabelscopeError(
            f"keep has shape {keep.shape}, need {(partition.n_layers, partition.n_experts)} as the partition"
        )
    return [np.flatnonzero(row[labels]) for row, labels in zip(keep, partition.labels, strict=True)]


def prune(layers: Sequence[FfnLayer], neuron_idx: Sequence[np.ndarray]) -> None:
    """Cut out all other neurons, in place: rows of up and gate, columns of down.

    A layer that keeps all its neurons is left untouched, so that keeping everything is the dense model to
    the last bit.

    Parameters
    ----------
    layers : the model's feed-forward layers.
    neuron_idx : for each layer int64 (n_kept,), ascending; may be empty.
    """
    for layer, idx in zip(layers, neuron_idx, strict=True):
        if len(idx) != layer.d_ff:
            take_neurons([layer], [torch.from_numpy(np.asarray(idx, dtype=np.int64))])


def round_widths(layers: Sequence[FfnLayer], multiple: int = FAST_WIDTHS) -> None:
    """Round the widths up with neurons of zeros, in place: the same function, a little more memory, faster.

    The widths that are left fall as they will; at most of them matrix products are slow, on a GPU slower than
    those of the dense model (benchmarks/README.md).

    Parameters
    ----------
    layers : the model's feed-forward layers.
    multiple : of neurons, at least 1.
    """
    for layer in layers:
        width = -(-layer.d_ff // multiple) * multiple
        if width != layer.d_ff:
            pad_neurons(layer, width)


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of the feed-forward layers and of the whole model (tied weights once)."""

    ffn: int
    total: int


def count_parameters(model: StudyModel) -> ParameterCount:
    """Count the parameters that the model has at this time."""
    ffn = sum(layer.n_parameters for layer in model.layers)
    return ParameterCount(ffn, sum(parameter.numel() for parameter in model.module.parameters()))
