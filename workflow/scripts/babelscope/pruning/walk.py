"""Layer by layer through a model: the hidden states of documents wait between the blocks.

What a layer says can be looked at, the layer be changed, and the hidden states be passed on through it as it
is then. What does not fit on a GPU is run in smaller parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.layers import FfnLayer
from babelscope.model.load import StudyModel
from babelscope.text.batches import Batch
from babelscope.text.fitting import fits, halve_budget, run_batches
from babelscope.text.tokens import TokenizedCorpus

# One document of so many is for validation: nothing is fitted to it before choices are made.
VALIDATION_SHARE = 5


@dataclass
class CaughtBatch:
    """Hidden states on their way through the blocks, with the arguments that each block is called with."""

    token_ids: np.ndarray  # int64 (document, position)
    hidden: torch.Tensor  # (document, position, d_model), on the host
    device: torch.device  # where the blocks take it
    real: np.ndarray  # bool (document, position)
    validation: np.ndarray  # bool (document,)
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]
    dense: torch.Tensor | None = None  # as hidden, on the way through the dense model
    said: torch.Tensor | None = None  # as hidden, what the dense model's next layer says


class Catcher:
    """Gives the hidden states that enter the first block, and the arguments of every block."""

    def __init__(self, model: StudyModel) -> None:
        self.model, self.blocks = model, model.blocks
        outputs: list[Any] = []
        probe = self.blocks[0].register_forward_hook(lambda _module, _args, output: outputs.append(output))
        try:
            model.hidden(np.zeros((1, 1), dtype=np.int64))
        finally:
            probe.remove()
        # what a block returns in addition to the hidden states; None where it returns these alone
        self._beside = outputs[0][1:] if isinstance(outputs[0], tuple) else None

    def catch(self, token_ids: np.ndarray, real: np.ndarray, validation: np.ndarray) -> CaughtBatch:
        """Let the blocks pass their input on and note their arguments, which do not depend on it."""
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            hidden = args[0] if args else kwargs["hidden_states"]
            return hidden if self._beside is None else (hidden, *self._beside)

        own = [block.__dict__.get("forward") for block in self.blocks]  # accelerate puts one there
        for block in self.blocks:
            block.forward = forward
        try:
            self.model.hidden(token_ids)
        finally:
            for block, before in zip(self.blocks, own, strict=True):
                del block.forward
                if before is not None:
                    block.forward = before
        args, kwargs = calls[0]
        hidden = args[0] if args else kwargs["hidden_states"]
        arguments = [_without_hidden(*call) for call in calls]
        # pinned: copies to and from a GPU run several times faster
        host = torch.empty(hidden.shape, dtype=hidden.dtype, pin_memory=hidden.device.type == "cuda")
        return CaughtBatch(token_ids, host.copy_(hidden), hidden.device, real, validation, arguments)

    def halves(self, batch: CaughtBatch) -> list[CaughtBatch]:
        """The batch as two of half its documents, as far on their way as it is.

        Raises
        ------
        BabelscopeError
            Where it holds one document alone.
        """
        n_documents, length = batch.token_ids.shape
        # smaller than two documents is the end of halving
        halve_budget(n_documents * length, length)
        parts = []
        for rows in (slice(None, n_documents // 2), slice(n_documents // 2, None)):
            part = self.catch(batch.token_ids[rows], batch.real[rows], batch.validation[rows])
            part.hidden.copy_(batch.hidden[rows])
            part.dense = None if batch.dense is None else batch.dense[rows]
            part.said = None if batch.said is None else batch.said[rows]
            parts.append(part)
        return parts


def run_each(
    catcher: Catcher, batches: Sequence[CaughtBatch], run: Callable[[CaughtBatch], object]
) -> list[CaughtBatch]:
    """Run every batch, those that do not fit in halves; return the batches that were run, in order."""
    waiting, done = list(reversed(batches)), []
    while waiting:
        batch = waiting.pop()
        if fits(run, batch):
            done.append(batch)
        else:
            waiting += reversed(catcher.halves(batch))
    return done


class LayerWalk:
    """Documents on their way through a model, block by block.

    Parameters
    ----------
    model : its blocks are run one at a time, as each is when it is run.
    corpus, document_idx : the documents; every fifth of them is for validation.
    count_special : whether the token that is put before each document counts as a token.
    with_dense : whether hidden states of the model as it is at the start go along, for ``listen``.

    Attributes
    ----------
    number : of the block that is next.
    """

    def __init__(
        self,
        model: StudyModel,
        corpus: TokenizedCorpus,
        document_idx: np.ndarray,
        count_special: bool = False,
        with_dense: bool = False,
    ) -> None:
        self.model, self.number = model, 0
        self._catcher = Catcher(model)
        self._batches: list[CaughtBatch] = []
        rank = {int(idx): number for number, idx in enumerate(document_idx)}

        def catch(batch: Batch) -> None:
            validation = [rank[int(idx)] % VALIDATION_SHARE == 0 for idx in batch.document_idx]
            real = batch.real_mask(count_special)
            caught = self._catcher.catch(batch.token_ids, real, np.array(validation))
            caught.dense = caught.hidden.clone() if with_dense else None
            self._batches.append(caught)

        run_batches(model, corpus, document_idx, catch)

    @property
    def layer(self) -> FfnLayer:
        """The feed-forward layer of the block that is next."""
        return self.model.layers[self.number]

    @property
    def n_tokens(self) -> int:
        """Tokens that count."""
        return sum(int(batch.real.sum()) for batch in self._batches)

    def look(self, see: Callable[[CaughtBatch, torch.Tensor], object]) -> None:
        """Call ``see`` with each batch and what enters the next layer's down projection.

        Parameters
        ----------
        see : gets activations (document, position, neuron); a call that runs out of memory must leave nothing
            behind, because the batch comes again in parts.
        """
        block, layer, number = self.model.blocks[self.number], self.layer, self.number
        self._run(lambda batch: see(batch, ffn_activations(block, layer, batch, number)))

    def listen(self) -> None:
        """Pass the dense hidden states on through the next block, not yet cut, and keep what its layer says.

        Each batch then has ``said``: the output of the down projection on the dense model's activations.
        """
        block, layer, number = self.model.blocks[self.number], self.layer, self.number

        def run(batch: CaughtBatch) -> None:
            assert batch.dense is not None
            heard: list[torch.Tensor] = []
            hook = layer.down.register_forward_hook(lambda _module, _args, output: heard.append(output))
            try:
                through = replace(batch, hidden=batch.dense)
                passed = call_block(block, through, number)
            finally:
                hook.remove()
            batch.said = heard[0].reshape(batch.dense.shape).cpu()
            batch.dense = passed.cpu()

        self._run(run)

    def step(self) -> None:
        """Pass the hidden states on through the next block as it is now."""
        block, number = self.model.blocks[self.number], self.number
        self._run(lambda batch: batch.hidden.copy_(call_block(block, batch, number)))
        self.number += 1

    def _run(self, run: Callable[[CaughtBatch], object]) -> None:
        self._batches = run_each(self._catcher, self._batches, run)


def _without_hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"}


def call_block(block: nn.Module, batch: CaughtBatch, number: int) -> torch.Tensor:
    args, kwargs = batch.arguments[number]
    output = block(batch.hidden.to(batch.device), *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output


def ffn_activations(block: nn.Module, layer: FfnLayer, batch: CaughtBatch, number: int) -> torch.Tensor:
    """Input of the down projection, (document, position, neuron); the projection itself is left out."""
    seen: list[torch.Tensor] = []
    down: Any = layer.down
    d_model = down.weight.shape[0]

    def forward(activations: torch.Tensor) -> torch.Tensor:
        seen.append(activations)
        return activations.new_zeros((*activations.shape[:-1], d_model))

    own = down.__dict__.get("forward")  # accelerate puts one there
    down.forward = forward
    try:
        call_block(block, batch, number)
    finally:
        del down.forward
        if own is not None:
            down.forward = own
    return seen[0].reshape(*batch.real.shape, -1)
