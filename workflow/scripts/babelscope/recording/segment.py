"""One segment of a recording: documents that are batched together, and their counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from babelscope.model.load import to_device
from babelscope.recording.neuron_tap import NeuronSums
from babelscope.recording.resume import RunningCounts
from babelscope.recording.router_tap import RouterTap
from babelscope.recording.tap import ExpertTap
from babelscope.recording.token_finder import TokenFinder
from babelscope.recording.type_sums import TypeSums, type_membership
from babelscope.study.errors import BabelscopeError
from babelscope.text.batches import Batch, make_batches
from babelscope.text.fitting import fits, halve_budget
from babelscope.text.tokens import Documents

if TYPE_CHECKING:
    from babelscope.recording.keeper import Keeper
    from babelscope.recording.record import RecordingSettings, Variant


class Counted(NamedTuple):
    """What one batch counts: bad (document, layer), row (document,), and by block of the batch the rest."""

    bad: torch.Tensor
    row: torch.Tensor
    block: torch.Tensor
    n_tokens: torch.Tensor
    n_active: list[torch.Tensor]
    types: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None


class Segment:
    """Documents that are batched together; their counts stay on the device until ``flush``."""

    def __init__(
        self,
        tap: ExpertTap | RouterTap,
        corpus: Documents,
        document_idx: np.ndarray,
        variants: Sequence[Variant],
        settings: RecordingSettings,
        counts: RunningCounts,
        neurons: NeuronSums | None,
        peak_tap: TokenFinder | None,
    ) -> None:
        self.tap, self.corpus, self.document_idx = tap, corpus.take(document_idx), document_idx
        self.variants, self.settings, self.counts = variants, settings, counts
        self.done = counts.done.copy() if len(counts.done) else np.zeros(len(document_idx), dtype=bool)
        self.block = np.arange(len(document_idx)) // settings.documents_per_block
        n_blocks, device = int(self.block[-1]) + 1, tap.device
        cells = [table[0].size for table in counts.n_active]
        self.n_active = [torch.zeros((n_blocks, n), dtype=torch.int64, device=device) for n in cells]
        self.n_tokens = torch.zeros(n_blocks, dtype=torch.int64, device=device)
        shape = (len(document_idx), tap.n_layers)
        self.first_block = counts.n_documents // settings.documents_per_block
        self.neurons = neurons
        self.neuron_tap = None if neurons is None else neurons.tap
        self.types = None
        if counts.types is not None:
            self.types = TypeSums(counts.types.token_id, cells[0], device)
        self.peak_tap = peak_tap
        self.bad = torch.zeros(shape, dtype=torch.bool, device=device)  # (document, layer)
        self.n_seen = 0

    def record(self, keeper: Keeper, on_progress: Callable[[int], object]) -> None:
        """Record the documents that are left, in batches that the GPU has the memory for."""
        model = self.tap.model
        while not self.done.all():
            all_fit = True
            for batch in make_batches(self.corpus, np.flatnonzero(~self.done), model.tokens_per_batch):
                all_fit = fits(self._record_batch, batch)
                if not all_fit:
                    break
                self.done[batch.document_idx] = True
                n_real = int(batch.n_real.sum())
                self.n_seen += n_real
                on_progress(n_real)
                if keeper.due():
                    self.flush()
                    keeper.keep()
            if not all_fit:
                self.tap.release()
                for own in (self.neuron_tap, self.peak_tap):
                    if own is not None:
                        own.release()
                longest = int(np.diff(self.corpus.offsets)[~self.done].max())
                model.tokens_per_batch = halve_budget(model.tokens_per_batch, longest)
        self.flush()
        self.counts.n_documents += len(self.document_idx)
        self.counts.done = self.done[:0]

    def _record_batch(self, batch: Batch) -> None:
        """Add the counts of one batch; where the GPU runs out of memory, nothing is added."""
        bad, row, block, n_tokens, n_active, types = self._count(batch)
        some_good = bool(self.neurons or self.peak_tap) and self._leave_out(batch, bad)
        self.bad[row] = bad
        self.n_tokens.index_add_(0, block, n_tokens)
        for total, new in zip(self.n_active, n_active, strict=True):
            total.index_add_(0, block, new)
        if self.types is not None and types is not None:
            self.types.add(*types)
        if self.neurons is not None and some_good:
            self.neurons.add()
        if self.peak_tap is not None and some_good:
            self.peak_tap.add()

    def _leave_out(self, batch: Batch, bad: torch.Tensor) -> bool:
        """Take documents with NaN or infinite activations out of what neurons do; False: none is left.

        That a document is bad shows when the sums of earlier layers are made: the others run again alone.
        """
        if self.settings.on_nonfinite != "skip":
            return True
        good = ~bad.any(dim=1).cpu().numpy()
        if good.any() and not good.all():
            self._count(batch.take(good))
        return bool(good.any())

    def _count(self, batch: Batch) -> Counted:
        device = self.tap.device
        token_ids = to_device(batch.token_ids, device)
        # counts are made for the blocks of the batch alone: there can be as many blocks as documents
        present, own_row = np.unique(self.block[batch.document_idx], return_inverse=True)
        facts = np.stack([batch.n_real, batch.document_idx, self.block[batch.document_idx], own_row])
        n_real, row, block, own_row = to_device(facts, device)
        position = torch.arange(batch.token_ids.shape[1], device=device)
        real = position < n_real[:, None]  # (document, position)
        counted = real if self.settings.count_special_tokens else real & (position >= batch.n_special)
        if self.neuron_tap is not None:
            self.neuron_tap.start(counted, (self.first_block + block) % self.neuron_tap.n_blocks)
        if self.peak_tap is not None:
            first = 0 if self.settings.count_special_tokens else batch.n_special
            whole = slice(first, int(batch.n_real.min()))
            self.peak_tap.start(counted, self.document_idx[batch.document_idx], batch.n_special, whole)
        nan = self.tap.run(token_ids).unflatten(0, batch.token_ids.shape)  # (document, position, layer)
        if self.peak_tap is not None:
            self.peak_tap.see()
        bad = (nan & real[:, :, None]).any(dim=1)  # (document, layer)
        counted = counted & ~bad.any(dim=1, keepdim=True)
        own = own_row == torch.arange(len(present), device=device)[:, None]  # (block, document)
        membership = (own[:, :, None] & counted).flatten(1).float()  # (block, token)
        blocks, n_rows, more = to_device(present, device), len(present), None
        if self.types is not None:
            assert isinstance(self.tap, ExpertTap)
            of_types, own = self.types.rows(batch.token_ids, batch.n_special)
            more = type_membership(to_device(own, device), len(of_types), counted.flatten())
            n_active = self.tap.count(self.variants, membership, more)
        else:
            n_active = self.tap.count(self.variants, membership)
        n_tokens, types = membership.sum(dim=1).round().to(torch.int64), None
        if more is not None:
            of_more = more.sum(dim=1).round().to(torch.int64)
            types = (to_device(of_types, device), of_more, n_active[0][n_rows:])
            n_active[0] = n_active[0][:n_rows]
        return Counted(bad, row, blocks, n_tokens, n_active, types)

    def flush(self) -> None:
        """Add the counts of experts on the host, which waits for the device."""
        bad = self.bad.cpu().numpy()
        if bad.any() and self.settings.on_nonfinite == "stop":
            row, layer = np.argwhere(bad)[0]
            raise BabelscopeError(
                f"{self.tap.problem} in layer {layer} for document {self.document_idx[row]}; "
                "recording.on_nonfinite: skip leaves such documents out, dtype: float32 may avoid them"
            )
        counts = self.counts
        counts.add([n.cpu().numpy() for n in self.n_active], self.n_tokens.cpu().numpy(), self.first_block)
        if counts.types is not None and self.types is not None:
            counts.types.add(*self.types.take())
        counts.done = self.done.copy()
        counts.n_seen += self.n_seen
        counts.skipped += [int(idx) for idx in self.document_idx[bad.any(axis=1)]]
        for tensor in (*self.n_active, self.n_tokens, self.bad):
            tensor.zero_()
        self.n_seen = 0
