"""Recording which experts each token activates: one forward pass, counts alone leave the device.

Documents are worked off in segments of whole blocks, a segment in batches of documents of like length. The
counts so far are saved now and then and a killed job goes on from there. Segments are cut by document
numbers alone, so shards made of whole segments add up to exactly the counts of one job. Memory does not grow
with the number of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model, to_device
from babelscope.recording.counts import ActivationCounts, count_top_k
from babelscope.recording.resume import RunningCounts, recording_key
from babelscope.recording.scores import count_active
from babelscope.recording.tap import ExpertTap
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import progress
from babelscope.text.batches import Batch, make_batches
from babelscope.text.fitting import fits, halve_budget
from babelscope.text.tokens import Documents


@dataclass(frozen=True)
class Variant:
    """One way to cut experts and to call them active; all variants share one forward pass.

    Attributes
    ----------
    name : for instance ``main`` or ``random``.
    partition : experts of every layer.
    top_k : experts active for a token, over all layers.
    """

    name: str
    partition: ExpertPartition
    top_k: int


@dataclass(frozen=True)
class RecordingSettings:
    """How documents are worked off; nothing here changes what is counted but ``count_special_tokens``.

    Attributes
    ----------
    documents_per_block : documents whose counts are kept apart, for error bars.
    documents_per_segment : documents that are sorted by length together; a multiple of the block.
    count_special_tokens : whether BOS counts as a token.
    on_nonfinite : ``stop`` or ``skip`` documents with NaN or infinite activations.
    max_blocks : blocks at most; with more documents, block ``i`` is added to block ``i % max_blocks``.
    """

    documents_per_block: int = 20
    documents_per_segment: int = 1000
    count_special_tokens: bool = False
    on_nonfinite: str = "stop"
    max_blocks: int = 100

    def __post_init__(self) -> None:
        if self.documents_per_block < 1 or self.documents_per_segment % self.documents_per_block:
            raise BabelscopeError(
                f"recording.documents_per_segment ({self.documents_per_segment}) must be a multiple of "
                f"recording.documents_per_block ({self.documents_per_block})"
            )
        if self.on_nonfinite not in ("stop", "skip"):
            raise BabelscopeError(f"recording.on_nonfinite {self.on_nonfinite!r}: allowed are stop, skip")

    def n_blocks(self, n_documents: int) -> int:
        """Blocks that so many documents make."""
        return min(self.max_blocks, -(-n_documents // self.documents_per_block))


@dataclass(frozen=True)
class Recording:
    """Counts of every variant, in the order given, and the documents left out."""

    counts: dict[str, ActivationCounts]
    skipped_documents: list[int]


def make_variants(
    partitions: Mapping[str, ExpertPartition],
    top_fraction: float,
    other_fractions: Mapping[str, float] | None = None,
) -> list[Variant]:
    """One variant per partition with the same share of active experts, then others of the first partition.

    Parameters
    ----------
    partitions : by name of their variant, the study's own first.
    top_fraction : share of active experts.
    other_fractions : other shares for the first partition, by name of their variant.
    """
    main = next(iter(partitions.values()))
    chosen = [(name, partition, top_fraction) for name, partition in partitions.items()]
    chosen += [(name, main, fraction) for name, fraction in (other_fractions or {}).items()]
    return [
        Variant(name, partition, count_top_k(fraction, partition.n_layers, partition.n_experts))
        for name, partition, fraction in chosen
    ]


def record_language(
    info: ModelInfo,
    compute: Compute,
    corpus: Documents,
    document_idx: np.ndarray,
    variants: Sequence[Variant],
    settings: RecordingSettings,
    output: str | Path,
    resume_key: str = "",
) -> Recording:
    """Load a model and record documents of one language.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus, document_idx : documents of the language, and which of them.
    variants, settings : see ``record_activations``.
    output : the main output; the counts of an unfinished job are kept beside it.
    resume_key : what else decides the counts, for instance a digest of the code.
    """
    model = load_model(info, compute)
    output = Path(output)
    n_real = np.diff(corpus.offsets)[document_idx] + int(corpus.bos_token_id >= 0)
    with progress(int(n_real.sum()), "tokens", f"recording {output.stem}") as bar:
        return record_activations(
            model,
            corpus,
            document_idx,
            variants,
            settings,
            resume_file=output.with_name(f".{output.name}.resume.npz"),
            resume_key=f"{info} {compute.decisive} {resume_key}",
            on_progress=bar.update,
        )


def record_activations(
    model: StudyModel,
    corpus: Documents,
    document_idx: np.ndarray,
    variants: Sequence[Variant],
    settings: RecordingSettings,
    *,
    resume_file: Path | None = None,
    resume_key: str = "",
    save_seconds: float = 30.0,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> Recording:
    """Count, for every block of documents and every expert, the tokens for which the expert is active.

    Parameters
    ----------
    model : its output layer is not computed; back as it was on return, but for a lower ``tokens_per_batch``
        where memory ran out.
    corpus, document_idx : the documents, and which of them in which order.
    variants : partitions and numbers of active experts; all come out of one forward pass. Variants with the
        same partition object share its scores.
    resume_file : counts so far are kept here and removed at the end; a file made with other inputs is
        ignored.
    resume_key : what decides the counts and is not seen here: the weights, their type, the code.
    save_seconds : counts are saved after each segment, and when this time has passed.
    on_progress : called with the number of tokens done.

    Returns
    -------
    Counts whose blocks hold ``settings.documents_per_block`` documents each (the last one may hold fewer).
    More than ``settings.max_blocks`` blocks are added onto the first ones in turn.

    Raises
    ------
    BabelscopeError
        For a partition that does not fit the model, or NaN or infinite activations (layer and document are
        named) unless they are to be skipped.
    """
    _check_fit(model, variants)
    n_documents = len(document_idx)
    counts = RunningCounts.zeros(
        settings.n_blocks(n_documents), [(len(model.layers), v.partition.n_experts) for v in variants]
    )
    if resume_file is not None:
        key = _key(corpus, document_idx, variants, settings, resume_key)
        counts = RunningCounts.load(resume_file, key) or counts
        on_progress(counts.n_seen)

    def save() -> None:
        if resume_file is not None:
            counts.save(resume_file, key)

    partitions = list({id(v.partition): v.partition for v in variants}.values())
    with ExpertTap(model, partitions) as tap:
        while counts.n_documents < n_documents:
            idx = document_idx[counts.n_documents :][: settings.documents_per_segment]
            segment = _Segment(tap, corpus, idx, variants, settings, counts)
            segment.record(save, save_seconds, on_progress)
            if counts.n_documents < n_documents:
                save()
    if resume_file is not None:
        resume_file.unlink(missing_ok=True)
    finished = counts.finished([v.top_k for v in variants])
    named = dict(zip([v.name for v in variants], finished, strict=True))
    return Recording(named, sorted(counts.skipped))


class _Segment:
    """Documents that are batched together; their counts stay on the device until ``flush``."""

    def __init__(
        self,
        tap: ExpertTap,
        corpus: Documents,
        document_idx: np.ndarray,
        variants: Sequence[Variant],
        settings: RecordingSettings,
        counts: RunningCounts,
    ) -> None:
        self.tap, self.corpus, self.document_idx = tap, corpus.take(document_idx), document_idx
        self.variants, self.settings, self.counts = variants, settings, counts
        self.done = counts.done.copy() if len(counts.done) else np.zeros(len(document_idx), dtype=bool)
        self.block = np.arange(len(document_idx)) // settings.documents_per_block
        n_blocks, device = int(self.block[-1]) + 1, tap.device
        cells = [len(tap.layers) * v.partition.n_experts for v in variants]
        self.n_active = [torch.zeros((n_blocks, n), dtype=torch.int64, device=device) for n in cells]
        self.n_tokens = torch.zeros(n_blocks, dtype=torch.int64, device=device)
        shape = (len(document_idx), len(tap.layers))
        self.bad = torch.zeros(shape, dtype=torch.bool, device=device)  # (document, layer)
        self.n_seen = 0

    def record(
        self, save: Callable[[], None], save_seconds: float, on_progress: Callable[[int], object]
    ) -> None:
        """Record what is not done, in batches that the GPU has the memory for."""
        model, saved = self.tap.model, time.monotonic()
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
                if time.monotonic() - saved > save_seconds:
                    self.flush()
                    save()
                    saved = time.monotonic()
            if not all_fit:
                self.tap.release()
                longest = int(np.diff(self.corpus.offsets)[~self.done].max())
                model.tokens_per_batch = halve_budget(model.tokens_per_batch, longest)
        self.flush()
        self.counts.n_documents += len(self.document_idx)
        self.counts.done = self.done[:0]

    def _record_batch(self, batch: Batch) -> None:
        """Add the counts of one batch; where the GPU runs out of memory, nothing is added."""
        bad, row, n_tokens, n_active = self._count(batch)
        self.bad[row] = bad
        self.n_tokens += n_tokens
        for total, new in zip(self.n_active, n_active, strict=True):
            total += new

    def _count(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        device = self.tap.device
        z = self.tap.run(to_device(batch.token_ids, device))
        facts = np.stack([batch.n_real, batch.document_idx, self.block[batch.document_idx]])
        n_real, row, block = to_device(facts, device)
        position = torch.arange(batch.token_ids.shape[1], device=device)
        # a NaN or infinite score makes its whole standardised row NaN: looking at one expert is enough
        nan = z[0][:, :, 0].isnan().unflatten(0, batch.token_ids.shape)  # (document, position, layer)
        bad = (nan & (position < n_real[:, None])[:, :, None]).any(dim=1)  # (document, layer)
        first = 0 if self.settings.count_special_tokens else batch.n_special
        counted = (position >= first) & (position < n_real[:, None]) & ~bad.any(dim=1, keepdim=True)
        own = block == torch.arange(len(self.n_tokens), device=device)[:, None]  # (block, document)
        membership = (own[:, :, None] & counted).flatten(1).float()  # (block, token)
        tables = {id(p): table.flatten(1) for p, table in zip(self.tap.partitions, z, strict=True)}
        n_active = [count_active(tables[id(v.partition)], v.top_k, membership) for v in self.variants]
        return bad, row, membership.sum(dim=1).round().to(torch.int64), n_active

    def flush(self) -> None:
        """Add the counts on the host; the only time that the host waits for the device."""
        bad = self.bad.cpu().numpy()
        if bad.any() and self.settings.on_nonfinite == "stop":
            row, layer = np.argwhere(bad)[0]
            raise BabelscopeError(
                f"NaN or infinite activations in layer {layer} for document {self.document_idx[row]}; "
                "recording.on_nonfinite: skip leaves such documents out, dtype: float32 may avoid them"
            )
        counts = self.counts
        first_block = counts.n_documents // self.settings.documents_per_block
        counts.add([n.cpu().numpy() for n in self.n_active], self.n_tokens.cpu().numpy(), first_block)
        counts.done = self.done.copy()
        counts.n_seen += self.n_seen
        counts.skipped += [int(idx) for idx in self.document_idx[bad.any(axis=1)]]
        for tensor in (*self.n_active, self.n_tokens, self.bad):
            tensor.zero_()
        self.n_seen = 0


def _check_fit(model: StudyModel, variants: Sequence[Variant]) -> None:
    for variant in variants:
        n_layers, d_ff = variant.partition.labels.shape
        found = sorted({layer.d_ff for layer in model.layers})
        if n_layers != len(model.layers) or found != [d_ff]:
            raise BabelscopeError(
                f"partition {variant.name!r} is for {n_layers} layers of {d_ff} neurons, the model has "
                f"{len(model.layers)} layers of {found}"
            )


def _key(
    corpus: Documents,
    document_idx: np.ndarray,
    variants: Sequence[Variant],
    settings: RecordingSettings,
    resume_key: str,
) -> str:
    parts: list[Any] = [settings, resume_key]
    for variant in variants:
        parts += [variant.name, variant.top_k, variant.partition.n_experts, variant.partition.labels]
    return recording_key(corpus, document_idx, *parts)
