"""What becomes of the columns that are kept: a closed table of compensations, out of one layer's moments.

To add one, add a row to ``COMPENSATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from babelscope.model.layers import FfnLayer
from babelscope.pruning.cut import prune
from babelscope.pruning.moments import Moments, RidgeProblem

# Of every selector alike in the causal test: strong, because some choices break with less.
RIDGE = 1.0


@dataclass(frozen=True)
class Edit:
    """One layer as it becomes.

    Attributes
    ----------
    kept : int64 (n_kept,), neurons, ascending.
    columns : (d_model, n_kept) in the model's type, corrected; None: as they were.
    bias : (d_model,) in the model's type, added to the output; None: none is added.
    """

    kept: np.ndarray
    columns: torch.Tensor | None = None
    bias: torch.Tensor | None = None


def plain(moments: Moments, mean: np.ndarray, kept: np.ndarray, weight: torch.Tensor) -> Edit:
    """The kept columns as they were."""
    return Edit(kept)


def with_bias(moments: Moments, mean: np.ndarray, kept: np.ndarray, weight: torch.Tensor) -> Edit:
    """The mean of what the removed neurons said becomes a bias, as in FLAP (arXiv 2312.11983)."""
    said = torch.from_numpy(mean).to(weight.device, torch.float64)
    said[torch.from_numpy(kept).to(weight.device)] = 0.0
    return Edit(kept, bias=(weight.double() @ said).to(weight.dtype))


def with_ridge(moments: Moments, mean: np.ndarray, kept: np.ndarray, weight: torch.Tensor) -> Edit:
    """Ridge least squares with a fixed ridge; see ``compensation``, which chooses one for each layer."""
    correction = RidgeProblem.of(moments, kept, weight).solve(RIDGE)
    own = weight[:, torch.from_numpy(kept).to(weight.device)].double()
    return Edit(kept, (own + correction.T.to(own.device)).to(weight.dtype))


# Out of a layer's moments, the mean of its activations (d_ff,), the neurons that stay, the down projection.
Compensate = Callable[[Moments, np.ndarray, np.ndarray, torch.Tensor], Edit]
COMPENSATIONS: dict[str, Compensate] = {
    "none": plain,
    "bias": with_bias,
    "ridge": with_ridge,
}


def apply_edits(layers: Sequence[FfnLayer], edits: Sequence[Edit]) -> None:
    """Cut a dense model's layers in place, and put corrected columns and biases in."""
    for layer, edit in zip(layers, edits, strict=True):
        prune([layer], [edit.kept])
        down = layer.down
        if edit.columns is not None:
            columns = edit.columns.to(down.weight.device)
            down.weight = nn.Parameter(columns, requires_grad=False)
        if edit.bias is not None:
            bias = edit.bias.to(down.weight.device)
            down.bias = nn.Parameter(bias if down.bias is None else down.bias + bias, requires_grad=False)
