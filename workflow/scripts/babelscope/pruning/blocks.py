"""One block of a model, run on a batch: whole, as far as its down projection, or on from there.

What a block computes up to its down projection does not depend on it: where the projection is changed, the
rest of the block alone is run again. This is the same for all families, whatever lies between attention,
feed-forward layer and residual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.layers import FfnLayer

# Arguments of a call without the hidden states: by place and by name.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class FirstPass:
    """What a block computed up to its down projection.

    Attributes
    ----------
    activations : what enters the down projection, (..., d_ff), in the shape that it gets.
    outputs : what attention returned, by child of the block; where it comes after the down projection, it is
        not there and is run again.
    """

    activations: torch.Tensor
    outputs: dict[nn.Module, Any]

    @property
    def n_bytes(self) -> int:
        """Bytes that the tensors take."""
        tensors = [self.activations, *(t for output in self.outputs.values() for t in _tensors(output))]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass
class CaughtBatch:
    """Hidden states on their way through the blocks, with the arguments that each block is called with."""

    token_ids: np.ndarray  # int64 (document, position)
    hidden: torch.Tensor  # (document, position, d_model), on the host
    device: torch.device  # where the blocks take it
    real: np.ndarray  # bool (document, position)
    part: np.ndarray  # int (document,): FIT, VALIDATION or POOLED, see walk
    document_idx: np.ndarray  # int64 (document,), which of the corpus
    arguments: list[Arguments]
    dense: torch.Tensor | None = None  # as hidden, on the way through the dense model
    said: torch.Tensor | None = None  # as hidden, what the dense model's next layer says
    first_pass: FirstPass | None = None  # of the next block, where there is room for it


@contextmanager
def other_forwards(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Within, modules compute something else."""
    own = {module: module.__dict__.get("forward") for module in forwards}  # accelerate puts one there
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module, before in own.items():
            del module.forward
            if before is not None:
                module.forward = before


def call_block(block: nn.Module, batch: CaughtBatch, number: int) -> torch.Tensor:
    """Hidden states that leave a block, the ``number``-th, (document, position, d_model)."""
    args, kwargs = batch.arguments[number]
    output = block(batch.hidden.to(batch.device), *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output


def run_to_down(block: nn.Module, layer: FfnLayer, batch: CaughtBatch, number: int) -> FirstPass:
    """Run a block; its down projection is left out."""
    seen: list[torch.Tensor] = []
    outputs: dict[nn.Module, Any] = {}
    down: Any = layer.down
    d_model = down.weight.shape[0]

    def forward(activations: torch.Tensor) -> torch.Tensor:
        seen.append(activations)
        return activations.new_zeros((*activations.shape[:-1], d_model))

    def keep(module: nn.Module, _args: object, output: Any) -> None:
        if not seen:
            outputs[module] = _copied(output)  # a block may add to it in place

    hooks = [child.register_forward_hook(keep) for child in _apart(block, layer)]
    try:
        with other_forwards({down: forward}):
            call_block(block, batch, number)
    finally:
        for hook in hooks:
            hook.remove()
    return FirstPass(seen[0], outputs)


def run_from_down(
    block: nn.Module,
    layer: FfnLayer,
    batch: CaughtBatch,
    number: int,
    first_pass: FirstPass,
    kept: np.ndarray | None = None,
) -> torch.Tensor:
    """As ``call_block``, of a block whose layer was cut since its ``first_pass``, which is not run again.

    Parameters
    ----------
    kept : int64 (n_kept,), neurons of those that the first pass saw which the layer still has; None: all.
    """
    activations, project = first_pass.activations, layer.down.forward
    if kept is not None and len(kept) != activations.shape[-1]:
        activations = activations.index_select(-1, torch.from_numpy(kept).to(activations.device))

    def nothing(hidden: torch.Tensor) -> torch.Tensor:
        return hidden.new_zeros((*hidden.shape[:-1], 0))

    forwards: dict[nn.Module, Callable[..., Any]] = dict.fromkeys(layer.linears, nothing)
    forwards[layer.down] = lambda _nothing: project(activations)
    for child, output in first_pass.outputs.items():
        forwards[child] = lambda *_args, output=output, **_kwargs: output
    with other_forwards(forwards):
        return call_block(block, batch, number)


def _apart(block: nn.Module, layer: FfnLayer) -> list[nn.Module]:
    """Children of a block that have matrices, but none of the feed-forward layer: attention, in most."""
    own = set(layer.linears)
    return [
        child
        for child in block.children()
        if own.isdisjoint(child.modules()) and any(p.ndim > 1 for p in child.parameters())
    ]


def _copied(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.clone()
    return tuple(_copied(part) for part in output) if isinstance(output, tuple) else output


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, tuple):
        for part in output:
            yield from _tensors(part)
