"""What is left of a model for one language: which neurons, and the corrected columns that read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.model.info import ModelInfo
from babelscope.model.load import FfnLayer
from babelscope.pruning.compensation import LayerFit
from babelscope.pruning.cut import prune
from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class PruningPlan:
    """A pruned model, relative to the dense one.

    Attributes
    ----------
    keep : bool (n_layers, d_ff), the neurons that stay.
    down : for each layer float32 (d_model, n_kept), the corrected columns of the down projection in
        ascending order of the neurons; empty for plain removal.
    """

    keep: np.ndarray
    down: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        if self.down and [c.shape[1] for c in self.down] != self.keep.sum(axis=1).tolist():
            raise BabelscopeError(
                f"corrected columns of {[c.shape[1] for c in self.down]} neurons for layers that keep "
                f"{self.keep.sum(axis=1).tolist()}"
            )

    @property
    def neuron_idx(self) -> list[np.ndarray]:
        """The neurons that stay, for each layer int64 (n_kept,), ascending."""
        return [np.flatnonzero(row) for row in self.keep]


def apply_plan(layers: Sequence[FfnLayer], plan: PruningPlan) -> None:
    """Cut a dense model's layers in place, and put the corrected columns in.

    Parameters
    ----------
    layers : the model's feed-forward layers, with all neurons.
    plan : of the same model.
    """
    if plan.keep.shape != (len(layers), layers[0].d_ff):
        raise BabelscopeError(
            f"a plan for {plan.keep.shape} (layers, neurons) on a model of {len(layers)} x {layers[0].d_ff}"
        )
    prune(layers, plan.neuron_idx)
    for layer, columns in zip(layers, plan.down, strict=bool(plan.down)):
        old = layer.down.weight
        new = torch.from_numpy(columns).to(device=old.device, dtype=old.dtype)
        layer.down.weight = nn.Parameter(new, requires_grad=False)


def write_plan(
    path: str | Path, plan: PruningPlan, fits: Sequence[LayerFit], model: str, language: str, **attrs: Any
) -> None:
    """Write ``pruned/{lang}.h5``; ``attrs`` are the parameters that made the plan."""
    down = np.concatenate([c.ravel() for c in plan.down]) if plan.down else np.zeros(0, dtype=np.float32)
    datasets = {"keep": plan.keep, "down": down.astype(np.float32)}
    datasets |= {name: np.array([getattr(fit, name) for fit in fits]) for name in ("ridge", "unexplained")}
    write_h5(path, "pruned", datasets, model=model, language=language, **attrs)


def read_plan(path: str | Path, info: ModelInfo) -> PruningPlan:
    """Read ``pruned/{lang}.h5`` of this model."""
    datasets, _ = read_h5(path, "pruned", model=info.name)
    keep = datasets["keep"].astype(bool)
    widths = keep.sum(axis=1)
    if keep.shape != (info.n_layers, info.d_ff) or datasets["down"].size != info.d_model * widths.sum():
        raise BabelscopeError(f"{path}: not of this model; delete it and run again: rule compensate makes it")
    ends = np.cumsum(widths * info.d_model)[:-1]
    down = [
        part.reshape(info.d_model, width)
        for part, width in zip(np.split(datasets["down"], ends), widths, strict=True)
    ]
    return PruningPlan(keep, tuple(down))
