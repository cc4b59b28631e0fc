"""One recording of a language, written as one file of counts per variant and one of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.experts.partition import Partition, read_any_partition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.recording.counts import write_activations
from babelscope.recording.neurons import write_neuron_shard, write_neurons
from babelscope.recording.peaks import PEAK_SHARD, PEAKS, write_peaks
from babelscope.recording.record import RecordingSettings, Variant, record_language
from babelscope.recording.token_types import write_types
from babelscope.study.gpus import give_back_gpus
from babelscope.text.token_file import TokenFile
from babelscope.text.tokenise import token_texts
from babelscope.text.tokens import documents_digest


def read_partitions(
    info: ModelInfo, main: str, others: Sequence[str], names: Sequence[str]
) -> dict[str, Partition]:
    """The study's own partition and others by name; each file must say that it is the one of that name."""
    rest = {name: read_any_partition(path, info, name) for name, path in zip(names, others, strict=True)}
    return {"main": read_any_partition(main, info), **rest}


def record_to_files(
    info: ModelInfo,
    compute: Compute,
    recording: Mapping[str, Any],
    corpus: TokenFile,
    document_idx: np.ndarray,
    variants: Sequence[Variant],
    outputs: Mapping[str, str],
    language: str,
    resume_key: str,
) -> None:
    """Record documents of one language and write the counts of every variant that has an output.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    recording : keyword arguments of ``RecordingSettings``.
    corpus, document_idx : documents of the language, and which of them.
    variants : partitions and numbers of active experts.
    outputs : path of ``activations/{lang}.h5`` by name of the variant; under ``neurons`` or ``neuron_shard``
        that of the statistics of neurons, under ``types`` that of counts by token, under ``peaks`` or
        ``peak_shard`` that of the best tokens. The counts of an unfinished job are kept beside the main one.
    language, resume_key : code of the language; what else decides the counts.

    Raises
    ------
    BabelscopeError
        As ``record_activations``.
    """
    asked = RecordingSettings(**recording)
    # parallel documents are kept apart: which of them the other languages have is not known here
    settings = asked if "types" in outputs else replace(asked, token_types=0)
    if corpus.unit is not None:
        settings = replace(settings, documents_per_block=1, max_blocks=max(1, len(document_idx)))
    chosen = [variant for variant in variants if variant.name in outputs]
    first = Path(outputs.get("main") or outputs[chosen[0].name])
    neurons = "neurons" in outputs or "neuron_shard" in outputs
    found = record_language(
        info,
        compute,
        corpus,
        document_idx,
        chosen,
        settings,
        first,
        resume_key + info.weights_sha256,
        neurons,
        bool({PEAKS.name, PEAK_SHARD.name} & set(outputs)),
    )
    give_back_gpus()
    said: dict[str, Any] = {"model": info.name, "language": language}
    said |= {"documents_sha256": documents_digest(corpus, document_idx)}
    said |= {"weights_sha256": info.weights_sha256}
    said |= {"n_skipped_documents": len(found.skipped_documents)}
    blocks: dict[str, Any] = {
        "documents_per_block": asked.documents_per_block,
        "max_blocks": asked.max_blocks,
    }
    unit = None if corpus.unit is None else corpus.unit[document_idx]
    for variant in chosen:
        write_activations(
            outputs[variant.name],
            replace(found.counts[variant.name], unit=unit),
            variant=variant.name,
            experts_sha256=variant.partition.sha256,
            **said,
            **blocks,
        )
    if found.types is not None and "types" in outputs:
        text = token_texts(info, found.types.token_id[:-1])
        experts = chosen[0].partition.sha256
        write_types(outputs["types"], found.types, text, chosen[0].top_k, experts_sha256=experts, **said)
    if found.neurons is not None:
        if "neurons" in outputs:
            write_neurons(outputs["neurons"], found.neurons, **said)
        else:
            write_neuron_shard(outputs["neuron_shard"], found.neurons, **said)
    if found.peaks is not None:
        kind = PEAKS if PEAKS.name in outputs else PEAK_SHARD
        sha256 = chosen[0].partition.sha256
        write_peaks(outputs[kind.name], kind, found.peaks, experts_sha256=sha256, **said)
