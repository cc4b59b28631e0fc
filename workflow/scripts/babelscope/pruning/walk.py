"""Layer by layer through a model: the hidden states of documents wait between the blocks.

What a layer says can be looked at, the layer be changed, and the hidden states be passed on through it as it
is then. What does not fit on a GPU is run in smaller parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from babelscope.model.layers import FfnLayer, free_bytes
from babelscope.model.load import StudyModel
from babelscope.pruning.blocks import (
    Arguments,
    CaughtBatch,
    call_block,
    other_forwards,
    run_from_down,
    run_to_down,
)
from babelscope.text.batches import Batch
from babelscope.text.fitting import fits, halve_budget, run_batches
from babelscope.text.tokens import TokenizedCorpus

# One document of so many is for validation: nothing is fitted to it before choices are made.
VALIDATION_SHARE = 5
# What documents are for: to fit to, to validate on, and those of other languages that are pooled in.
FIT, VALIDATION, POOLED = range(3)

# Bytes of the host's memory, and share of what a GPU has free, that a first pass through a block may keep.
HOST_BYTES, GPU_SHARE = 2 * 1024**3, 0.25


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

    def catch(
        self, token_ids: np.ndarray, real: np.ndarray, part: np.ndarray, document_idx: np.ndarray
    ) -> CaughtBatch:
        """Let the blocks pass their input on and note their arguments, which do not depend on it."""
        calls: list[Arguments] = []

        def forward(*args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            return self._returned(args[0] if args else kwargs["hidden_states"])

        with other_forwards(dict.fromkeys(self.blocks, forward)):
            self.model.hidden(token_ids)
        args, kwargs = calls[0]
        hidden = args[0] if args else kwargs["hidden_states"]
        arguments = [_without_hidden(*call) for call in calls]
        # pinned: copies to and from a GPU run several times faster
        host = torch.empty(hidden.shape, dtype=hidden.dtype, pin_memory=hidden.device.type == "cuda")
        found = host.copy_(hidden)
        return CaughtBatch(token_ids, found, hidden.device, real, part, document_idx, arguments)

    def leave(self, batch: CaughtBatch) -> torch.Tensor:
        """What the model makes of hidden states that have passed all blocks: its last ones."""
        hidden = batch.hidden.to(batch.device)
        with other_forwards(dict.fromkeys(self.blocks, lambda *_args, **_kwargs: self._returned(hidden))):
            return self.model.hidden(batch.token_ids)

    def _returned(self, hidden: torch.Tensor) -> Any:
        return hidden if self._beside is None else (hidden, *self._beside)

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
        halves = []
        for rows in (slice(None, n_documents // 2), slice(n_documents // 2, None)):
            tokens = (batch.token_ids[rows], batch.real[rows])
            half = self.catch(*tokens, batch.part[rows], batch.document_idx[rows])
            half.hidden.copy_(batch.hidden[rows])
            half.dense = None if batch.dense is None else batch.dense[rows]
            half.said = None if batch.said is None else batch.said[rows]
            halves.append(half)
        return halves


def forget(batches: Iterable[CaughtBatch]) -> bool:
    """Give up what batches keep of a first pass; whether any did."""
    kept = [batch for batch in batches if batch.first_pass is not None]
    for batch in kept:
        batch.first_pass = None
    return bool(kept)


class LayerWalk:
    """Documents on their way through a model, block by block.

    Parameters
    ----------
    model : its blocks are run one at a time, as each is when it is run.
    corpus, document_idx : the documents; every fifth of them is for validation.
    count_special : whether the token that is put before each document counts as a token.
    with_dense : whether hidden states of the model as it is at the start go along, for ``listen``.
    pooled_idx : further documents of the corpus, of other languages, that go along as a part of their own.
    to_end : whether they pass the last block too, for ``leave``.

    Attributes
    ----------
    number : of the block that is next.
    n_parts : 2, or 3 with ``pooled_idx``: what ``CaughtBatch.part`` numbers.
    """

    def __init__(
        self,
        model: StudyModel,
        corpus: TokenizedCorpus,
        document_idx: np.ndarray,
        count_special: bool = False,
        with_dense: bool = False,
        pooled_idx: np.ndarray | None = None,
        to_end: bool = False,
    ) -> None:
        self.model, self.number = model, 0
        self._n_steps = len(model.blocks) - (0 if to_end else 1)
        self.n_parts = 2 if pooled_idx is None else 3
        self._catcher = Catcher(model)
        self._batches: list[CaughtBatch] = []
        self._room: int | None = None  # bytes that may still be kept; None: not asked yet
        every = document_idx if pooled_idx is None else np.concatenate([document_idx, pooled_idx])
        part = {int(idx): POOLED for idx in every}
        for rank, idx in enumerate(document_idx):
            part[int(idx)] = VALIDATION if rank % VALIDATION_SHARE == 0 else FIT

        def catch(batch: Batch) -> None:
            parts = np.array([part[int(idx)] for idx in batch.document_idx])
            real = batch.real_mask(count_special)
            caught = self._catcher.catch(batch.token_ids, real, parts, batch.document_idx)
            caught.dense = caught.hidden.clone() if with_dense else None
            self._batches.append(caught)

        run_batches(model, corpus, every, catch)

    def copy(self) -> LayerWalk:
        """Another walk of the same documents from here on; masks and the like are shared."""
        other = copy(self)
        other._batches = [
            replace(batch, hidden=_copied(batch.hidden), first_pass=None) for batch in self._batches
        ]
        return other

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
        self._room = None

        def run(batch: CaughtBatch) -> None:
            found = run_to_down(block, layer, batch, number)
            see(batch, found.activations.reshape(*batch.real.shape, -1))
            if self._room is None:
                self._room = _bytes_to_keep(found.activations.device)
            if found.n_bytes <= self._room:
                batch.first_pass = found
                self._room -= found.n_bytes

        self._run(run)

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

    def step(self, kept: np.ndarray | None = None) -> None:
        """Pass the hidden states on through the next block as it is now; the last one if they are to leave.

        Parameters
        ----------
        kept : where the layer was cut since ``look``, int64 (n_kept,), the neurons that stayed.
        """
        block, layer, number = self.model.blocks[self.number], self.layer, self.number

        def run(batch: CaughtBatch) -> None:
            if batch.first_pass is None:
                batch.hidden.copy_(call_block(block, batch, number))
            else:
                batch.hidden.copy_(run_from_down(block, layer, batch, number, batch.first_pass, kept))
            batch.first_pass = None

        if number < self._n_steps:
            self._run(run)
        self.forget()
        self.number += 1

    def leave(self, see: Callable[[CaughtBatch, torch.Tensor], object]) -> None:
        """After the last step, call ``see`` with each batch and the model's last hidden states.

        A call that runs out of memory must leave nothing behind.
        """
        self._run(lambda batch: see(batch, self._catcher.leave(batch)))

    def forget(self) -> bool:
        """Give up what is kept of the last ``look``, for its memory; whether anything was."""
        return forget(self._batches)

    def _run(self, run: Callable[[CaughtBatch], object]) -> None:
        """Run every batch; where memory runs out, what ``look`` keeps makes room, then batches are halved."""
        waiting: list[CaughtBatch] = list(reversed(self._batches))
        done: list[CaughtBatch] = []
        while waiting:
            batch = waiting.pop()
            if fits(run, batch):
                done.append(batch)
            elif forget([*waiting, *done, batch]):
                self._room = 0
                waiting.append(batch)
            else:
                waiting += reversed(self._catcher.halves(batch))
        self._batches = done


def _copied(hidden: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(hidden, pin_memory=hidden.is_pinned()).copy_(hidden)


def _without_hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    return args[1:], {name: value for name, value in kwargs.items() if name != "hidden_states"}


def _bytes_to_keep(device: torch.device) -> int:
    return int(GPU_SHARE * free_bytes(device)) if device.type == "cuda" else HOST_BYTES
