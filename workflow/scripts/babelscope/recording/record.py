"""Recording which experts each token activates: one forward pass, counts alone leave the device.

Documents are processed in segments of whole blocks, a segment in batches of documents of like length. The
counts so far are saved now and then and a killed job goes on from there. Segments are cut by document
numbers alone, so shards made of whole segments add up to exactly the counts of one job. Memory does not grow
with the number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition, Partition
from babelscope.experts.routed import RoutedExperts
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model
from babelscope.recording.counts import ActivationCounts, count_top_k
from babelscope.recording.keeper import Keeper
from babelscope.recording.neuron_tap import NeuronSums, NeuronTap
from babelscope.recording.neurons import NEURON_BLOCKS, NeuronTotals
from babelscope.recording.peak_tap import PeakTap
from babelscope.recording.peaks import Peaks, random_tokens
from babelscope.recording.resume import RunningCounts, recording_key
from babelscope.recording.router_peaks import RouterPeaks
from babelscope.recording.router_tap import RouterTap
from babelscope.recording.segment import Segment
from babelscope.recording.tap import ExpertTap
from babelscope.recording.token_finder import TokenFinder
from babelscope.recording.token_types import TypeCounts, frequent_tokens
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import progress
from babelscope.text.tokens import Documents


@dataclass(frozen=True)
class Variant:
    """One way to cut experts and to call them active; all variants share one forward pass.

    Attributes
    ----------
    name : for instance ``main`` or ``random``.
    partition : experts of every layer. Routed ones are recorded alone, without other variants.
    top_k : experts active for a token, over all layers; of routed ones those that one router chooses.
    score : of an expert, one of ``SCORES``.
    """

    name: str
    partition: Partition
    top_k: int
    score: str = "signed"


@dataclass(frozen=True)
class RecordingSettings:
    """How documents are processed; nothing here changes what is counted but ``count_special_tokens``.

    Attributes
    ----------
    documents_per_block : documents whose counts are kept apart, for error bars.
    documents_per_segment : documents that are sorted by length together; a multiple of the block.
    count_special_tokens : whether BOS counts as a token.
    on_nonfinite : ``stop`` or ``skip`` documents with NaN or infinite activations.
    best_tokens, random_tokens : tokens kept of every unit, and of the language, where peaks are recorded.
    max_blocks : blocks at most; with more documents, block ``i`` is added to block ``i % max_blocks``.
    token_types : most frequent tokens whose counts, of the first variant, are kept apart; 0: none.
    """

    documents_per_block: int = 20
    documents_per_segment: int = 1000
    count_special_tokens: bool = False
    on_nonfinite: str = "stop"
    max_blocks: int = 100
    token_types: int = 0
    best_tokens: int = 6
    random_tokens: int = 24

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

    def n_neuron_blocks(self, n_documents: int) -> int:
        """Coarse blocks for the statistics of neurons: block ``i`` is added to ``i`` modulo their number."""
        return min(NEURON_BLOCKS, self.n_blocks(n_documents))


@dataclass(frozen=True)
class Recording:
    """Counts of every variant in the order given, documents left out, and what else was asked for."""

    counts: dict[str, ActivationCounts]
    skipped_documents: list[int]
    neurons: NeuronTotals | None = None
    types: TypeCounts | None = None
    peaks: Peaks | None = None


def make_variants(
    partitions: Mapping[str, Partition],
    top_fraction: float,
    other_fractions: Mapping[str, float] | None = None,
    other_scores: Sequence[str] = (),
) -> list[Variant]:
    """One variant per partition with the same share of active experts, then others of the first partition.

    Parameters
    ----------
    partitions : by name of their variant, the study's own first.
    top_fraction : share of active experts.
    other_fractions : other shares for the first partition, by name of their variant.
    other_scores : other scores for the first partition; their variants are ``score_{score}``.

    Where the first partition is that of routers there is one variant: the routers say what is active.
    """
    main = next(iter(partitions.values()))
    if isinstance(main, RoutedExperts):
        return [Variant(next(iter(partitions)), main, main.top_k)]
    chosen = [(name, partition, top_fraction) for name, partition in partitions.items()]
    chosen += [(name, main, fraction) for name, fraction in (other_fractions or {}).items()]
    top_k = count_top_k(top_fraction, main.n_layers, main.n_experts)
    return [
        *(
            Variant(name, partition, count_top_k(fraction, partition.n_layers, partition.n_experts))
            for name, partition, fraction in chosen
        ),
        *(Variant(f"score_{score}", main, top_k, score) for score in other_scores),
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
    neurons: bool = False,
    peaks: bool = False,
) -> Recording:
    """Load a model and record documents of one language.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus, document_idx : documents of the language, and which of them.
    variants, settings, neurons, peaks : see ``record_activations``.
    output : the main output; the counts of an unfinished job are kept beside it.
    resume_key : what else decides the counts, for instance a digest of the code.
    """
    model = load_model(info, compute, many_tokens=True)
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
            neurons=neurons,
            peaks=peaks,
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
    neurons: bool = False,
    peaks: bool = False,
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
    save_seconds : time from one save of the counts to the next.
    on_progress : called with the number of tokens done.
    neurons : whether to add up the activations of every neuron in the same pass.
    peaks : whether to keep the best tokens of every expert of the first variant, and of every neuron where
        experts are groups of them.

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
    tap = make_tap(model, variants)
    n_documents = len(document_idx)
    counts = RunningCounts.zeros(settings.n_blocks(n_documents), tap.shapes(variants))
    n_neuron_blocks = settings.n_neuron_blocks(n_documents)
    if neurons:
        counts.neurons = NeuronTotals.zeros(n_neuron_blocks, len(model.layers), model.layers[0].d_ff)
    if settings.token_types:
        kept_apart = frequent_tokens(corpus, document_idx, settings.token_types)
        counts.types = TypeCounts.zeros(kept_apart, *counts.n_active[0].shape[1:])
    if peaks:
        d_ff = 0 if isinstance(tap, RouterTap) else model.layers[0].d_ff
        sizes = (tap.n_layers, variants[0].partition.n_experts, d_ff)
        counts.peaks = Peaks.empty(settings.best_tokens, settings.random_tokens, *sizes)
    key = ""
    if resume_file is not None:
        key = _key(corpus, document_idx, variants, settings, f"{neurons} {peaks} {resume_key}")
        counts = RunningCounts.load(resume_file, key) or counts
        on_progress(counts.n_seen)
    with tap, ExitStack() as stack:
        sums = peak_tap = None
        if neurons:
            sums = NeuronSums(stack.enter_context(NeuronTap(model, n_neuron_blocks)))
        if counts.peaks is not None:
            peak_tap = stack.enter_context(
                make_token_finder(tap, variants[0].top_k, counts.peaks, settings.best_tokens)
            )
            lengths = np.diff(corpus.offsets)[document_idx]
            peak_tap.choose(*random_tokens(document_idx, lengths, settings.random_tokens))
        keeper = Keeper(counts, tap, sums, peak_tap, resume_file, key, save_seconds)
        while counts.n_documents < n_documents:
            idx = document_idx[counts.n_documents :][: settings.documents_per_segment]
            segment = Segment(tap, corpus, idx, variants, settings, counts, sums, peak_tap)
            segment.record(keeper, on_progress)
            if counts.n_documents < n_documents and keeper.due():
                keeper.keep()
        keeper.hand_over()
    if resume_file is not None:
        resume_file.unlink(missing_ok=True)
    routed = variants[0].partition
    if isinstance(routed, RoutedExperts):
        finished = [counts.finished_routers(routed.top_k, routed.n_experts_by_layer)]
    else:
        finished = counts.finished([v.top_k for v in variants])
    named = dict(zip([v.name for v in variants], finished, strict=True))
    named_parts = (counts.neurons, counts.types, counts.peaks)
    return Recording(named, sorted(counts.skipped), *named_parts)


def make_tap(model: StudyModel, variants: Sequence[Variant]) -> ExpertTap | RouterTap:
    """Hooks that see what the variants ask for, not yet on the model.

    Raises
    ------
    BabelscopeError
        For a partition that does not fit the model.
    """
    main = variants[0].partition
    if isinstance(main, RoutedExperts):
        return RouterTap(model, main)
    scored: dict[tuple[int, str], ExpertPartition] = {}
    for variant in variants:
        assert isinstance(variant.partition, ExpertPartition)
        _check_fit(model, variant.name, variant.partition)
        scored[id(variant.partition), variant.score] = variant.partition
    return ExpertTap(model, list(scored.values()), [score for _, score in scored])


def make_token_finder(tap: ExpertTap | RouterTap, top_k: int, before: Peaks, n_best: int) -> TokenFinder:
    """What finds the best tokens of the first variant, not yet on the model."""
    if isinstance(tap, RouterTap):
        return RouterPeaks(tap, before, n_best)
    return PeakTap(tap, before, n_best, top_k)


def _check_fit(model: StudyModel, name: str, partition: ExpertPartition) -> None:
    n_layers, d_ff = partition.labels.shape
    found = sorted({layer.d_ff for layer in model.layers})
    if n_layers != len(model.layers) or found != [d_ff]:
        raise BabelscopeError(
            f"partition {name!r} is for {n_layers} layers of {d_ff} neurons, the model has "
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
        parts += [variant.name, variant.score, variant.top_k]
        parts += [variant.partition.n_experts, variant.partition.sha256]
    return recording_key(corpus, document_idx, *parts)
