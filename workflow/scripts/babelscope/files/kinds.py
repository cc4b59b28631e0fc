"""The kinds of HDF5 files of the study: which datasets each has, their types, axes and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSpec:
    """Type, axes and meaning of one dataset; ``low`` and ``high`` bound its values where they are known."""

    dtype: str
    dims: tuple[str, ...]
    description: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of file: its version, the rule that makes it, and its datasets."""

    version: int
    rule: str
    datasets: Mapping[str, DatasetSpec]


_BLOCK_COUNTS = {
    "n_active": DatasetSpec(
        "int64", ("block", "layer", "expert"), "tokens for which the expert was active", low=0
    ),
    "n_tokens": DatasetSpec("int64", ("block",), "tokens of each block of whole documents", low=0),
}

KINDS: dict[str, Kind] = {
    "tokens": Kind(
        1,
        "tokenize_corpus",
        {
            "token_ids": DatasetSpec("int32", ("token",), "token ids without special tokens", low=0),
            "offsets": DatasetSpec("int64", ("document_edge",), "first token of each document", low=0),
            "heldout": DatasetSpec("bool", ("document",), "true: kept for evaluation"),
            "n_bytes": DatasetSpec("int32", ("document",), "UTF-8 bytes that the tokens stand for", low=1),
        },
    ),
    "layer_experts": Kind(
        1,
        "cluster_layer",
        {
            "labels": DatasetSpec("int32", ("neuron",), "expert of each neuron", low=0),
            "sse": DatasetSpec("float64", (), "sum of squared distances to the expert centroids", low=0),
            "sse_random": DatasetSpec("float64", (), "the same for a random balanced partition", low=0),
            "sse_unconstrained": DatasetSpec(
                "float64", (), "the same where sizes are free, starting from labels", low=0
            ),
        },
    ),
    "experts": Kind(
        1,
        "assemble_partition",
        {"labels": DatasetSpec("int32", ("layer", "neuron"), "expert of each neuron", low=0)},
    ),
    "activations": Kind(1, "record_activations", _BLOCK_COUNTS),
    "frequency": Kind(
        1,
        "compare_languages",
        {
            "frequency": DatasetSpec(
                "float64", ("language", "layer", "expert"), "n_active / n_tokens", low=0, high=1
            ),
            "languages": DatasetSpec("str", ("language",), "language codes"),
        },
    ),
    "frequency_intervals": Kind(
        1,
        "bootstrap_languages",
        {
            "low": DatasetSpec("float64", ("language", "layer", "expert"), "lower end", low=0, high=1),
            "high": DatasetSpec("float64", ("language", "layer", "expert"), "upper end", low=0, high=1),
            "languages": DatasetSpec("str", ("language",), "language codes"),
        },
    ),
    "replicates": Kind(
        1,
        "bootstrap_languages",
        {
            "languages": DatasetSpec("str", ("language",), "language codes"),
            "measures": DatasetSpec("str", ("measure",), "measures of similarity"),
            "distances": DatasetSpec(
                "float64", ("measure", "language", "language"), "symmetric distances of the data"
            ),
            "drawn_distances": DatasetSpec(
                "float64", ("replicate", "measure", "language", "language"), "those of the replicates"
            ),
            "statistics": DatasetSpec("str", ("statistic",), "setting/name of statistics of claims"),
            "values": DatasetSpec("float64", ("statistic",), "statistics of the data"),
            "drawn": DatasetSpec("float64", ("replicate", "statistic"), "those of the replicates"),
            "counted": DatasetSpec("str", ("counted",), "statistics that count experts over a threshold"),
            "noisier": DatasetSpec("float64", ("counted",), "their means with once more of the noise"),
        },
    ),
    "family_tests": Kind(
        1,
        "relate_families",
        {
            "measure": DatasetSpec("str", ("test",), "measure of similarity"),
            "test": DatasetSpec("str", ("test",), "groups, mantel or partial_mantel"),
            "predictor": DatasetSpec("str", ("test",), "what should explain the distance"),
            "controls": DatasetSpec("str", ("test",), "predictors held constant, joined by +"),
            "statistic": DatasetSpec("float64", ("test",), "what was permuted"),
            "effect": DatasetSpec("float64", ("test",), "effect size", low=-1.000001, high=1.000001),
            "p_value": DatasetSpec("float64", ("test",), "one-sided", low=0, high=1),
            "p_adjusted": DatasetSpec("float64", ("test",), "controls the false discoveries", low=0, high=1),
            "n_assignments": DatasetSpec("int64", ("test",), "assignments looked at", low=1),
            "exact": DatasetSpec("bool", ("test",), "true: these are all"),
        },
    ),
    "similarity": Kind(
        1,
        "compare_languages",
        {
            "euclidean": DatasetSpec(
                "float64", ("language", "language"), "Frobenius norm of the difference", low=0
            ),
            "kl": DatasetSpec(
                "float64", ("language", "language"), "KL(row || column) summed over layers, nats", low=0
            ),
            "pearson": DatasetSpec(
                "float64", ("language", "language"), "mean over layers of the correlation", low=-1, high=1
            ),
            "n_missing_layers": DatasetSpec(
                "int32", ("language", "language"), "layers left out of pearson: constant rows", low=0
            ),
            "languages": DatasetSpec("str", ("language",), "language codes"),
        },
    ),
    "sharing": Kind(
        1,
        "count_sharing",
        {
            "n_languages_high": DatasetSpec(
                "int32", ("layer", "expert"), "languages in which the expert is high-frequency", low=0
            ),
            "high": DatasetSpec("bool", ("language", "layer", "expert"), "frequency >= threshold"),
            "languages": DatasetSpec("str", ("language",), "language codes"),
        },
    ),
}
