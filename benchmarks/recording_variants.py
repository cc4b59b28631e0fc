"""What `recording.py` measures: the same documents and the same counting through each tool."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from babelscope.experts.partition import read_partition
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.layers import find_ffn_layers
from babelscope.model.load import StudyModel, load_model
from babelscope.recording.record import RecordingSettings, Variant, make_variants, record_activations
from babelscope.recording.scores import ExpertLayout, count_active, score_experts, standardise
from babelscope.text.batches import Batch, make_batches
from babelscope.text.tokens import (
    join_profiles,
    read_tokens,
)

LANGUAGES = ("en", "hi", "zh")
VARIANTS = (
    "bare",
    "recording",
    "recording_neurons",
    "recording_peaks",
    "recording_3_partitions",
    "full_forward",
    "full_forward_sorted",
    "keep_activations",
    "nnsight",
    "transformer_lens",
)
TOP_FRACTION = 800 / 8192


# Called when a batch is done. A run goes over all documents so many times and returns counts, or None.
AfterBatch = Callable[[], object]
Run = Callable[[AfterBatch, int], np.ndarray | None]


class Bench:
    """What all parts share: model, documents of three languages as one corpus, partitions."""

    def __init__(self, options: argparse.Namespace, dtype: str, n_documents: int | None = None) -> None:
        self.results = Path(options.results) / options.model
        self.info = read_model_info(self.results / "model.json")
        self.dtype, self.tokens_per_batch = dtype, options.tokens_per_batch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        tokens = [read_tokens(self.results / f"tokens/{lang}.h5", options.model, lang) for lang in LANGUAGES]
        self.corpus = join_profiles(tokens, n_documents or options.documents)
        self.warm_up = join_profiles(tokens, 2)
        files = {"main": "experts.h5"} | {
            name: f"variants/{name}/experts.h5" for name in ("random", "contiguous")
        }
        partitions = {
            name: read_partition(self.results / file, self.info, name) for name, file in files.items()
        }
        self.variants = make_variants(partitions, TOP_FRACTION)

    def batches(self, repeats: int = 1) -> Iterator[Batch]:
        for _ in range(repeats):
            yield from make_batches(self.corpus, self.corpus.profile_idx, self.tokens_per_batch)

    def batches_of_a_user(self, repeats: int = 1) -> Iterator[Batch]:
        """As many batches, each of as many documents, in the order of the corpus, padded to the longest."""
        n_batches = sum(1 for _ in self.batches())
        for _ in range(repeats):
            for idx in np.array_split(self.corpus.profile_idx, n_batches):
                texts = [[self.corpus.bos_token_id, *self.corpus.document(int(i))] for i in idx]
                lengths = np.array([len(text) for text in texts])
                token_ids = np.zeros((len(texts), lengths.max()), dtype=np.int64)
                for row, text in zip(token_ids, texts, strict=True):
                    row[: len(text)] = text
                yield Batch(token_ids, idx, lengths, 1)

    @property
    def n_tokens(self) -> int:
        """Tokens that the model sees, BOS included, padding not."""
        return sum(int(batch.n_real.sum()) for batch in self.batches())

    def load(self) -> torch.nn.Module:
        return load_model(self.info, Compute(self.dtype, self.device)).module

    def ids(self, batch: Batch) -> torch.Tensor:
        return torch.from_numpy(batch.token_ids).to(self.device)

    def record(
        self,
        model: torch.nn.Module,
        variants: Sequence[Variant],
        *,
        neurons: bool = False,
        peaks: bool = False,
    ) -> Run:
        def run(after_batch: AfterBatch, repeats: int) -> np.ndarray:
            n_documents = len(self.corpus.profile_idx)
            recording = record_activations(
                StudyModel(model, self.tokens_per_batch),
                self.corpus,
                np.tile(self.corpus.profile_idx, repeats),
                variants,
                RecordingSettings(min(20, n_documents), n_documents),
                on_progress=lambda n_tokens: after_batch(),
                neurons=neurons,
                peaks=peaks,
            )
            return recording.counts["main"].n_active.sum(axis=0)

        return run


class Counter:
    """The same counting for tools that hand over whole activations."""

    def __init__(self, bench: Bench) -> None:
        self.variant = bench.variants[0]
        labels, n_experts = self.variant.partition.labels, self.variant.partition.n_experts
        self.layouts = [
            ExpertLayout.from_labels(row, n_experts).to(torch.device(bench.device)) for row in labels
        ]
        self.total: torch.Tensor | int = 0

    def add(self, batch: Batch, activations: Sequence[torch.Tensor]) -> None:
        """Count one batch; activations of every layer are (document, position, d_ff)."""
        rows = [h.flatten(0, 1) for h in activations]
        z = [standardise(score_experts(h[:, x.order], x)) for h, x in zip(rows, self.layouts, strict=True)]
        counted = torch.from_numpy(batch.real_mask()).flatten()[None].float().to(rows[0].device)
        self.total = self.total + count_active(torch.cat(z, dim=1), self.variant.top_k, counted)

    def counts(self) -> np.ndarray:
        return self.total.cpu().numpy().reshape(len(self.layouts), -1)  # type: ignore[union-attr]


def prepare(variant: str, bench: Bench) -> Run:
    """Load what a variant needs."""
    if variant == "nnsight":
        return prepare_nnsight(bench)
    if variant == "transformer_lens":
        return prepare_transformer_lens(bench)
    model = bench.load()
    if variant == "recording":
        return bench.record(model, bench.variants[:1])
    if variant == "recording_neurons":
        return bench.record(model, bench.variants[:1], neurons=True)
    if variant == "recording_peaks":  # and sums of neurons: what the default study records
        return bench.record(model, bench.variants[:1], neurons=True, peaks=True)
    if variant == "recording_3_partitions":
        return bench.record(model, bench.variants)
    if variant == "keep_activations":
        return prepare_hooks(bench, model)

    def run(after_batch: AfterBatch, repeats: int) -> None:
        by_user = variant == "full_forward"
        with torch.inference_mode():
            for batch in bench.batches_of_a_user(repeats) if by_user else bench.batches(repeats):
                if variant == "bare":
                    model.base_model(input_ids=bench.ids(batch), use_cache=False)
                else:
                    mask = torch.from_numpy(batch.real_mask(count_special=True).astype(np.int64))
                    model(input_ids=bench.ids(batch), attention_mask=mask.to(bench.device))
                after_batch()

    return run


def prepare_hooks(bench: Bench, model: torch.nn.Module) -> Run:
    """Plain hooks that keep the activations of a batch, and the model called as a user would."""
    kept: list[torch.Tensor] = []
    for layer in find_ffn_layers(model):
        layer.down.register_forward_pre_hook(lambda _module, args: kept.append(args[0]))

    def run(after_batch: AfterBatch, repeats: int) -> np.ndarray:
        counter = Counter(bench)
        with torch.inference_mode():
            for batch in bench.batches(repeats):
                kept.clear()
                mask = torch.from_numpy(batch.real_mask(count_special=True).astype(np.int64))
                model(input_ids=bench.ids(batch), attention_mask=mask.to(bench.device))
                counter.add(batch, kept)
                after_batch()
        return counter.counts()

    return run


def prepare_nnsight(bench: Bench) -> Run:
    """nnsight at its best: the trace stops after the last feed-forward layer, before the output layer."""
    from nnsight import TransformersModel

    model = TransformersModel(
        bench.info.path,
        task="text-generation",
        dispatch=True,
        dtype=getattr(torch, bench.dtype),
        device_map=bench.device,
    )

    def run(after_batch: AfterBatch, repeats: int) -> np.ndarray:
        counter = Counter(bench)
        with torch.inference_mode():
            for batch in bench.batches(repeats):
                inputs = {"input_ids": bench.ids(batch)}
                with model.trace(inputs, use_cache=False) as tracer:
                    kept = list().save()
                    for layer in model.model.layers:
                        kept.append(layer.mlp.down_proj.input)
                    tracer.stop()
                counter.add(batch, kept)
                after_batch()
        return counter.counts()

    return run


def prepare_transformer_lens(bench: Bench) -> Run:
    """TransformerLens' `run_with_cache`, keeping nothing but what enters the down projections."""
    from transformer_lens.model_bridge import TransformerBridge

    model = TransformerBridge.boot_transformers(
        bench.info.path, device=bench.device, dtype=getattr(torch, bench.dtype)
    )
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(bench.info.n_layers)]

    def run(after_batch: AfterBatch, repeats: int) -> np.ndarray:
        counter = Counter(bench)
        with torch.inference_mode():
            for batch in bench.batches(repeats):
                _, cache = model.run_with_cache(
                    bench.ids(batch), names_filter=lambda name: name in names, return_type=None
                )
                counter.add(batch, [cache[name] for name in names])
                after_batch()
        return counter.counts()

    return run
