"""A pass over attention's output projection: what earlier cuts changed is made good there, too.

On the way through the pruned model, the output projection of each block's attention is corrected by ridge
least squares towards what it says in the dense model, out of the inputs that it gets in the pruned one,

    min over D of  sum_t |W a_t + D a_t - y_t|^2 + ridge * sum_i s_i |D_i|^2,

a_t and y_t its inputs and the dense model's outputs, penalties s_i as in ``moments.penalties``. The ridge is
chosen on the validation documents; no correction is among the choices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.pruning.compensation import RIDGES
from babelscope.pruning.moments import Moments, MomentSettings, RidgeProblem
from babelscope.pruning.blocks import CaughtBatch, call_block
from babelscope.pruning.walk import LayerWalk

# Names of the output projection within a block, by family.
_NAMES = ("self_attn.o_proj", "self_attn.out_proj", "attention.dense", "self_attention.dense", "attn.c_proj")


def output_projection(block: nn.Module) -> nn.Linear | None:
    """Of a block's attention; None where none of the known names is there."""
    for name in _NAMES:
        try:
            return block.get_submodule(name)  # type: ignore[return-value]
        except AttributeError:
            continue
    return None


class AttentionMoments:
    """Of one block's projection: Gram matrix of its inputs, and the dense outputs."""

    def __init__(self, walk: LayerWalk, settings: MomentSettings) -> None:
        self.projection = output_projection(walk.model.blocks[walk.number])
        assert self.projection is not None
        weight = self.projection.weight
        self.parts = [Moments.zeros(weight.shape[1], weight.device) for _ in range(2)]
        block, number = walk.model.blocks[walk.number], walk.number

        def caught(batch: CaughtBatch, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen: list[Any] = []
            assert self.projection is not None
            hook = self.projection.register_forward_hook(lambda _m, args, out: seen.append((args[0], out)))
            try:
                call_block(block, replace(batch, hidden=hidden), number)
            finally:
                hook.remove()
            return seen[0]

        def see(batch: CaughtBatch) -> None:
            assert batch.dense is not None
            inputs, wanted = caught(batch, batch.hidden)[0], caught(batch, batch.dense)[1]
            for chosen, total in zip((~batch.validation, batch.validation), self.parts, strict=True):
                real = torch.from_numpy(batch.real & chosen[:, None]).to(inputs.device)
                rows, said = inputs[real].float(), wanted[real].float()
                if settings.relative:
                    scale = 1 / said.norm(dim=1, keepdim=True).clamp_min(1e-6)
                    rows, said = rows * scale, said * scale
                total.add(rows, Moments.tiles(rows), said)

        walk._run(see)
        for part in self.parts:
            part.mirror()

    def correct(self) -> float:
        """Put the corrected projection in; return the ridge, 0 where the old one was better."""
        assert self.projection is not None
        weight = self.projection.weight
        every = np.arange(weight.shape[1])
        fit, validation = (RidgeProblem.of(part, every, weight) for part in self.parts)
        errors = [validation.unexplained(fit.solve(ridge)) for ridge in (*RIDGES, 10.0, 30.0)]
        best = int(np.argmin(errors))
        if errors[best] >= 1:
            return 0.0
        ridge = (*RIDGES, 10.0, 30.0)[best]
        correction = (fit + validation).solve(ridge)
        self.projection.weight = nn.Parameter(
            (weight.double() + correction.T).to(weight.dtype), requires_grad=False
        )
        return ridge
