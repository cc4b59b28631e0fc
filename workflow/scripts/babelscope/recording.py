"""Recording which experts each token activates: one forward pass, counts alone leave the device.

Forward hooks stand before every down projection of the Hugging Face model itself. Documents are worked off
in segments of whole blocks; after each segment the counts so far can be saved and a killed job goes on
from there. Segments are cut by document numbers alone, so shards made of whole segments add up to exactly
the counts of one job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.batching import Batch, make_batches
from babelscope.containers import ActivationCounts, ExpertPartition, TokenizedCorpus, count_top_k
from babelscope.errors import BabelscopeError
from babelscope.model_info import ModelInfo
from babelscope.models import (
    FfnLayer,
    base_model,
    find_ffn_layers,
    input_device,
    load_model,
    take_neurons,
)
from babelscope.progress import logger, progress
from babelscope.scoring import ExpertLayout, count_active, score_experts, select_active, standardise
from babelscope.store import whole_file


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
    documents_per_segment : documents between two savings of the counts; a multiple of the block.
    tokens_per_batch : rows x length of a batch; halved when the GPU runs out of memory.
    count_special_tokens : whether BOS counts as a token.
    on_nonfinite : ``stop`` or ``skip`` documents with NaN or infinite activations.
    """

    documents_per_block: int = 20
    documents_per_segment: int = 200
    tokens_per_batch: int = 1024
    count_special_tokens: bool = False
    on_nonfinite: str = "stop"

    def __post_init__(self) -> None:
        if self.documents_per_block < 1 or self.documents_per_segment % self.documents_per_block:
            raise BabelscopeError(
                f"recording.documents_per_segment ({self.documents_per_segment}) must be a multiple of "
                f"recording.documents_per_block ({self.documents_per_block})"
            )
        if self.on_nonfinite not in ("stop", "skip"):
            raise BabelscopeError(f"recording.on_nonfinite {self.on_nonfinite!r}: allowed are stop, skip")


@dataclass(frozen=True)
class Recording:
    """Counts of every variant, in the order given, and the documents left out."""

    counts: dict[str, ActivationCounts]
    skipped_documents: list[int]


def make_variants(partitions: Mapping[str, ExpertPartition], top_fraction: float) -> list[Variant]:
    """One variant a partition, with the same share of active experts."""
    return [
        Variant(name, partition, count_top_k(top_fraction, partition.n_layers, partition.n_experts))
        for name, partition in partitions.items()
    ]


def record_language(
    info: ModelInfo,
    compute: Mapping[str, Any],
    corpus: TokenizedCorpus,
    variants: Sequence[Variant],
    settings: RecordingSettings,
    output: str | Path,
) -> Recording:
    """Load a model and record the profile documents of one language.

    Parameters
    ----------
    info, compute : the prepared model, and keyword arguments of ``load_model``.
    corpus : documents of the language; held-out ones are not touched.
    variants, settings : see ``record_activations``.
    output : the main output; the counts of an unfinished job are kept beside it.
    """
    model = load_model(info, **compute)
    output = Path(output)
    document_idx = corpus.profile_idx
    n_real = np.diff(corpus.offsets)[document_idx] + int(corpus.bos_token_id >= 0)
    with progress(int(n_real.sum()), "tokens", f"recording {output.stem}") as bar:
        return record_activations(
            model,
            find_ffn_layers(model, info.family),
            corpus,
            document_idx,
            variants,
            settings,
            resume_file=output.with_name(f".{output.name}.resume.npz"),
            on_progress=bar.update,
        )


def record_activations(
    model: nn.Module,
    layers: Sequence[FfnLayer],
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    variants: Sequence[Variant],
    settings: RecordingSettings,
    *,
    resume_file: Path | None = None,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> Recording:
    """Count, for every block of documents and every expert, the tokens for which the expert is active.

    Parameters
    ----------
    model : model with its output layer, which is not computed; back as it was on return.
    layers : its feed-forward layers.
    corpus, document_idx : the documents, and which of them in which order.
    variants : partitions and numbers of active experts; all come out of one forward pass. Variants with the
        same partition object share its scores.
    resume_file : counts so far are kept here and removed at the end; a file made with other inputs is
        ignored.
    on_progress : called with the number of tokens done.

    Returns
    -------
    Counts whose blocks hold ``settings.documents_per_block`` documents each (the last one may hold fewer).

    Raises
    ------
    BabelscopeError
        For a partition that does not fit the model, or NaN or infinite activations (layer and document are
        named) unless they are to be skipped.
    """
    _check_fit(layers, variants)
    blocks = np.arange(len(document_idx)) // settings.documents_per_block
    key = _fingerprint(corpus, document_idx, variants, settings)
    done = _load_resume(resume_file, key)
    tokens_per_batch = settings.tokens_per_batch
    with _Tap(model, layers, variants) as tap:
        for start in range(0, len(document_idx), settings.documents_per_segment):
            if start in done:
                on_progress(int(done[start]["n_seen"]))
                continue
            rows = np.arange(start, min(start + settings.documents_per_segment, len(document_idx)))
            segment = _Segment(corpus, document_idx[rows], blocks[rows] - blocks[start])
            while True:
                try:
                    done[start] = segment.record(tap, tokens_per_batch, settings, on_progress)
                    break
                except torch.cuda.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    if tokens_per_batch <= 64:
                        raise
                    tokens_per_batch //= 2
                    logger.info(f"out of GPU memory: batches of {tokens_per_batch} tokens from here on")
            if resume_file is not None and len(rows) + start < len(document_idx):
                _save_resume(resume_file, key, done)
    if resume_file is not None:
        resume_file.unlink(missing_ok=True)
    return _join(done, variants, layers)


class _Tap:
    """Hooks before the down projections that turn activations into z-scores of every partition."""

    def __init__(self, model: nn.Module, layers: Sequence[FfnLayer], variants: Sequence[Variant]) -> None:
        self.model, self.layers = model, layers
        unique = {id(v.partition): v.partition for v in variants}
        self.partitions = list(unique.values())
        self.variants = [(v, list(unique).index(id(v.partition))) for v in variants]
        self.layouts = [
            [
                ExpertLayout.from_labels(row, p.n_experts).to(_device(layer))
                for row, layer in zip(p.labels, layers, strict=True)
            ]
            for p in self.partitions
        ]
        self.device = input_device(model)
        self.z: list[torch.Tensor] = []

    def __enter__(self) -> _Tap:
        # Neurons of the first partition are put in its order once, so that its scores need no gather.
        main = [layout.order for layout in self.layouts[0]]
        take_neurons(self.layers, main)
        self.back = [torch.argsort(order) for order in main]
        self.gathers = [
            [back[layout.order] for back, layout in zip(self.back, row, strict=True)]
            for row in self.layouts[1:]
        ]
        self.hooks = [
            layer.down.register_forward_pre_hook(self._hook(number))
            for number, layer in enumerate(self.layers)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
        take_neurons(self.layers, self.back)

    def _hook(self, number: int) -> Callable[..., None]:
        def before_down(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            activations = args[0].reshape(-1, args[0].shape[-1])  # (token, neuron)
            for which, layouts in enumerate(self.layouts):
                ordered = activations
                if which:
                    ordered = activations.index_select(1, self.gathers[which - 1][number])
                z = standardise(score_experts(ordered, layouts[number]))
                self.z[which][:, number] = z.to(self.device)

        return before_down

    def run(self, token_ids: torch.Tensor) -> list[torch.Tensor]:
        """z-scores of every partition, float32 (n_tokens, n_layers, n_experts), for one batch."""
        shapes = [(token_ids.numel(), len(self.layers), p.n_experts) for p in self.partitions]
        self.z = [torch.empty(shape, dtype=torch.float32, device=self.device) for shape in shapes]
        with torch.inference_mode():
            base_model(self.model)(input_ids=token_ids, use_cache=False)
        z, self.z = self.z, []
        return z


@dataclass(frozen=True)
class _Segment:
    """Documents between two savings; ``block`` numbers their blocks from 0."""

    corpus: TokenizedCorpus
    document_idx: np.ndarray
    block: np.ndarray

    def record(
        self,
        tap: _Tap,
        tokens_per_batch: int,
        settings: RecordingSettings,
        on_progress: Callable[[int], object],
    ) -> dict[str, np.ndarray]:
        """Counts of this segment by name: ``n_tokens``, ``bad``, ``n_seen`` and each variant's counts."""
        n_blocks = int(self.block[-1]) + 1
        device = tap.device
        cells = [len(tap.layers) * v.partition.n_experts for v, _ in tap.variants]
        counts = [torch.zeros((n_blocks, n), dtype=torch.int64, device=device) for n in cells]
        n_tokens = torch.zeros(n_blocks, dtype=torch.int64, device=device)
        bad = torch.zeros((len(self.document_idx), len(tap.layers)), dtype=torch.bool, device=device)
        row_of = {int(idx): row for row, idx in enumerate(self.document_idx)}
        n_seen = 0
        for batch in make_batches(self.corpus, self.document_idx, tokens_per_batch):
            rows = np.array([row_of[int(idx)] for idx in batch.document_idx])
            z = tap.run(torch.from_numpy(batch.token_ids).to(device, non_blocking=True))
            row_bad = _bad_layers(z[0], batch)  # (document, layer)
            bad[torch.from_numpy(rows).to(device)] = row_bad
            membership = self._membership(batch, self.block[rows], n_blocks, settings, device)
            good = (~row_bad.any(dim=1)).repeat_interleave(batch.token_ids.shape[1])
            membership = membership * good
            n_tokens += membership.sum(dim=1).round().to(torch.int64)
            for (variant, which), count in zip(tap.variants, counts, strict=True):
                count += count_active(select_active(z[which].flatten(1), variant.top_k), membership)
            n_real = int(batch.n_real.sum())
            n_seen += n_real
            on_progress(n_real)
        found = bad.cpu().numpy()
        if found.any() and settings.on_nonfinite == "stop":
            row, layer = np.argwhere(found)[0]
            raise BabelscopeError(
                f"NaN or infinite activations in layer {layer} for document {self.document_idx[row]}; "
                "recording.on_nonfinite: skip leaves such documents out, dtype: float32 may avoid them"
            )
        result: dict[str, Any] = {
            v.name: c.cpu().numpy() for (v, _), c in zip(tap.variants, counts, strict=True)
        }
        skipped = self.document_idx[found.any(axis=1)]
        return result | {"#n_tokens": n_tokens.cpu().numpy(), "#skipped": skipped, "n_seen": np.int64(n_seen)}

    @staticmethod
    def _membership(
        batch: Batch, block: np.ndarray, n_blocks: int, settings: RecordingSettings, device: torch.device
    ) -> torch.Tensor:
        """Which block each token counts for: float32 (n_blocks, n_tokens) of zeros and ones."""
        counted = batch.real_mask(settings.count_special_tokens)  # (document, position)
        member = np.zeros((n_blocks, *counted.shape), dtype=np.float32)
        member[block, np.arange(len(block))] = counted
        return torch.from_numpy(member.reshape(n_blocks, -1)).to(device, non_blocking=True)


def _bad_layers(z: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Documents with a NaN or infinite score in a layer, bool (n_documents, n_layers).

    One such score makes the whole standardised row NaN, so one expert of each row is enough to look at.
    """
    nan = z[:, :, 0].isnan().unflatten(0, batch.token_ids.shape)  # (document, position, layer)
    real = torch.from_numpy(np.arange(batch.token_ids.shape[1]) < batch.n_real[:, None]).to(z.device)
    return (nan & real[:, :, None]).any(dim=1)


def _check_fit(layers: Sequence[FfnLayer], variants: Sequence[Variant]) -> None:
    for variant in variants:
        n_layers, d_ff = variant.partition.labels.shape
        found = sorted({layer.d_ff for layer in layers})
        if n_layers != len(layers) or found != [d_ff]:
            raise BabelscopeError(
                f"partition {variant.name!r} is for {n_layers} layers of {d_ff} neurons, the model has "
                f"{len(layers)} layers of {found}"
            )


def _join(done: dict[int, dict], variants: Sequence[Variant], layers: Sequence[FfnLayer]) -> Recording:
    parts = [done[start] for start in sorted(done)]
    n_tokens = np.concatenate([part["#n_tokens"] for part in parts])
    counts = {}
    for variant in variants:
        n_active = np.concatenate([part[variant.name] for part in parts])
        shape = (len(n_tokens), len(layers), variant.partition.n_experts)
        counts[variant.name] = ActivationCounts(n_active.reshape(shape), n_tokens, variant.top_k)
    skipped = np.concatenate([part["#skipped"] for part in parts])
    return Recording(counts, [int(idx) for idx in skipped])


def _fingerprint(
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    variants: Sequence[Variant],
    settings: RecordingSettings,
) -> str:
    digest = hashlib.sha256(repr((settings, corpus.bos_token_id)).encode())
    for array in (corpus.token_ids, corpus.offsets, document_idx):
        digest.update(np.ascontiguousarray(array).tobytes())
    for variant in variants:
        digest.update(f"{variant.name}:{variant.top_k}:{variant.partition.n_experts}".encode())
        digest.update(np.ascontiguousarray(variant.partition.labels).tobytes())
    return digest.hexdigest()


def _save_resume(path: Path, key: str, done: dict[int, dict[str, np.ndarray]]) -> None:
    arrays = {f"{start}/{name}": value for start, part in done.items() for name, value in part.items()}
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, key=np.array(key), **arrays)  # type: ignore[arg-type]


def _load_resume(path: Path | None, key: str) -> dict[int, dict[str, np.ndarray]]:
    if path is None or not path.exists():
        return {}
    done: dict[int, dict[str, np.ndarray]] = {}
    try:
        with np.load(path) as file:
            if str(file["key"]) != key:
                return {}
            for entry in file.files:
                if entry != "key":
                    start, name = entry.split("/", 1)
                    done.setdefault(int(start), {})[name] = file[entry]
    except (OSError, ValueError, KeyError, EOFError):
        return {}
    logger.info(f"going on after {len(done)} segments that an earlier job finished")
    return done


def _device(layer: FfnLayer) -> torch.device:
    return layer.down.weight.device
