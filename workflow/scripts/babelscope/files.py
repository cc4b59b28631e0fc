"""The study's containers as files: one reader and one writer for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelscope.containers import ActivationCounts, ExpertPartition, TokenizedCorpus
from babelscope.errors import BabelscopeError
from babelscope.model_info import ModelInfo
from babelscope.sharing import Sharing
from babelscope.similarity import Similarity
from babelscope.store import read_h5, write_h5, write_text

if TYPE_CHECKING:
    from babelscope.clustering import ClusteringResult, ReferenceSse


def write_tokens(
    path: str | Path, corpus: TokenizedCorpus, model: str, language: str, max_tokens: int
) -> None:
    """Write ``tokens/{lang}.h5``."""
    datasets = {name: getattr(corpus, name) for name in ("token_ids", "offsets", "heldout", "n_bytes")}
    attrs = {"language": language, "max_tokens": max_tokens, "bos_token_id": corpus.bos_token_id}
    write_h5(path, "tokens", datasets, model=model, **attrs)


def read_tokens(path: str | Path, model: str, language: str) -> TokenizedCorpus:
    """Read ``tokens/{lang}.h5`` of this model and language."""
    datasets, attrs = read_h5(path, "tokens", model=model, language=language)
    return TokenizedCorpus(**datasets, bos_token_id=attrs["bos_token_id"])


def write_layer_experts(
    path: str | Path,
    result: ClusteringResult,
    reference: ReferenceSse,
    model: str,
    layer: int,
    matrix: str,
) -> None:
    """Write ``experts/layer_{layer}.h5``: labels, sums of squares and what the solver reports."""
    datasets = {
        "labels": result.labels,
        "sse": np.float64(result.sse),
        "sse_random": np.float64(reference.random),
        "sse_unconstrained": np.float64(reference.unconstrained),
    }
    asked = ("method", "seed", "n_starts", "normalize_rows", "device")
    names = (*asked, "n_steps", "n_swaps", "n_moves", "seconds")
    attrs: dict[str, Any] = {name: getattr(result, name) for name in names}
    attrs |= {"layer": layer, "matrix": matrix, "n_experts": int(result.labels.max()) + 1}
    write_h5(path, "layer_experts", datasets, model=model, **attrs)


@dataclass(frozen=True)
class LayerSse:
    """Sums of squared errors of the layers' partitions.

    Attributes
    ----------
    method : how they were made, the same for all layers.
    sse, sse_random, sse_unconstrained : float64 (n_layers,): of the partition, of a random one, and of one
        that grew out of it with free sizes.
    """

    method: str
    sse: np.ndarray
    sse_random: np.ndarray
    sse_unconstrained: np.ndarray


def read_layer_sse(paths: Sequence[str], model: str) -> LayerSse:
    """Read the sums of squared errors out of the ``experts/layer_{layer}.h5`` of all layers, in order."""
    found = [read_h5(path, "layer_experts", model=model, layer=layer) for layer, path in enumerate(paths)]
    names = ("sse", "sse_random", "sse_unconstrained")
    columns = [np.array([float(datasets[name]) for datasets, _ in found]) for name in names]
    return LayerSse(found[0][1]["method"], *columns)


def assemble_layers(paths: Sequence[str], info: ModelInfo) -> tuple[ExpertPartition, dict[str, Any]]:
    """Join the files of all layers, in order, to one partition.

    Returns
    -------
    The partition, and the attributes that all its layers share.

    Raises
    ------
    BabelscopeError
        Where a file is of another layer, another size or another method than the rest.
    """
    shared_names = ("method", "seed", "matrix", "n_experts", "n_starts", "normalize_rows")
    rows = []
    shared: dict[str, Any] = {}
    for layer, path in enumerate(paths):
        datasets, attrs = read_h5(path, "layer_experts", model=info.name, layer=layer)
        if datasets["labels"].shape != (info.d_ff,):
            raise BabelscopeError(f"{path}: {len(datasets['labels'])} neurons, the model has {info.d_ff}")
        own = {name: attrs[name] for name in shared_names}
        if layer and own != shared:
            raise BabelscopeError(
                f"{path}: made with {own}, the layers before with {shared}; delete the older ones"
            )
        shared = own
        rows.append(datasets["labels"])
    return ExpertPartition(np.stack(rows), shared["n_experts"]), shared


def write_partition(path: str | Path, partition: ExpertPartition, model: str, **attrs: Any) -> None:
    """Write ``experts.h5``."""
    attrs = {**attrs, "n_experts": partition.n_experts}
    write_h5(path, "experts", {"labels": partition.labels}, model=model, **attrs)


def read_partition(path: str | Path, info: ModelInfo) -> ExpertPartition:
    """Read ``experts.h5`` of this model."""
    datasets, attrs = read_h5(path, "experts", model=info.name)
    labels = datasets["labels"]
    if labels.shape != (info.n_layers, info.d_ff):
        raise BabelscopeError(
            f"{path}: labels of shape {labels.shape}, the model has {(info.n_layers, info.d_ff)}; "
            "delete it and run again: rule assemble_partition remakes it"
        )
    return ExpertPartition(labels, attrs["n_experts"])


def write_activations(
    path: str | Path, counts: ActivationCounts, model: str, language: str, **attrs: Any
) -> None:
    """Write ``activations/{lang}.h5`` or one shard of it, with attributes that say what was recorded."""
    datasets = {"n_active": counts.n_active, "n_tokens": counts.n_tokens}
    write_h5(path, "activations", datasets, model=model, language=language, top_k=counts.top_k, **attrs)


def read_activations(path: str | Path, model: str) -> ActivationCounts:
    """Read ``activations/{lang}.h5`` of this model."""
    datasets, attrs = read_h5(path, "activations", model=model)
    return ActivationCounts(datasets["n_active"], datasets["n_tokens"], attrs["top_k"])


def write_frequency(path: str | Path, frequency: np.ndarray, languages: Sequence[str], model: str) -> None:
    """Write ``frequency.h5``."""
    write_h5(path, "frequency", {"frequency": frequency, "languages": list(languages)}, model=model)


def read_frequency(path: str | Path, model: str) -> tuple[np.ndarray, list[str]]:
    """Read ``frequency.h5``: float64 (n_languages, n_layers, n_experts), and the language codes."""
    datasets, _ = read_h5(path, "frequency", model=model)
    return datasets["frequency"], list(datasets["languages"])


def write_similarity(
    path: str | Path, tables: Sequence[str], similarity: Similarity, languages: Sequence[str], model: str
) -> None:
    """Write ``similarity.h5`` and one CSV a measure, row = first argument."""
    datasets = {**vars(similarity), "languages": list(languages)}
    write_h5(path, "similarity", datasets, model=model)
    for table, measure in zip(tables, ("euclidean", "kl", "pearson"), strict=True):
        matrix = getattr(similarity, measure)
        lines = [
            f"{code},{','.join(f'{v:.6g}' for v in row)}" for code, row in zip(languages, matrix, strict=True)
        ]
        write_text(table, "\n".join([",".join(["language", *languages]), *lines]) + "\n")


def read_similarity(path: str | Path, model: str) -> tuple[Similarity, list[str]]:
    """Read ``similarity.h5``: all measures, and the language codes."""
    datasets, _ = read_h5(path, "similarity", model=model)
    languages = list(datasets.pop("languages"))
    return Similarity(**datasets), languages


def write_sharing(
    path: str | Path, table: str, sharing: Sharing, languages: Sequence[str], model: str, threshold: float
) -> None:
    """Write ``sharing.h5`` and ``sharing.csv`` (paper, Table 3)."""
    datasets = {
        "n_languages_high": sharing.n_languages_high,
        "high": sharing.high,
        "languages": list(languages),
    }
    write_h5(path, "sharing", datasets, model=model, threshold=threshold)
    lines = [f"{m},{n}" for m, n in enumerate(sharing.n_experts_by_languages)]
    write_text(table, "\n".join(["n_languages,n_experts", *lines]) + "\n")


def read_sharing(path: str | Path, model: str) -> tuple[np.ndarray, list[str], float]:
    """Read ``sharing.h5``: languages an expert is high-frequency in, the codes, the threshold."""
    datasets, attrs = read_h5(path, "sharing", model=model)
    return datasets["n_languages_high"], list(datasets["languages"]), attrs["threshold"]
