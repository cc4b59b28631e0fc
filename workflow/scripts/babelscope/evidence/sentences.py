"""The same sentence in two languages: are its activations more alike than those of two other sentences?

What a language does to all its sentences is taken away first, so that only what differs between sentences is
compared: content that both translations have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.parallel import find_translations, rows_of
from babelscope.statistics.bootstrap import estimate
from babelscope.study.errors import BabelscopeError

_PAIRS = ("language", "language")
SENTENCES = Kind(
    "sentences",
    "evidence/sentences.h5",
    "compare_sentences",
    ("model",),
    {
        "excess": DatasetSpec(
            "float64", ("layer", *_PAIRS), "mean cosine of the same sentence less that of two others"
        ),
        "retrieved": DatasetSpec(
            "float64", _PAIRS, "share of the row's sentences nearest to their translation", low=0, high=1
        ),
        "languages": LANGUAGES,
    },
)
SENTENCE_COLUMNS = (
    "language_a", "language_b", "n_sentences", "same", "other", "excess", "low", "high",
    "retrieved", "retrieved_low", "retrieved_high", "chance",
)  # fmt: skip
TRANSLATION_COLUMNS = ("language", "n_documents", "n_missing", "n_common")
_FEWEST = 10


def sentence_vectors(count: ActivationCounts, wanted: np.ndarray) -> np.ndarray:
    """What is special about each sentence, as unit vectors, float32 (n_layers, n_sentences, n_experts).

    Frequencies of the sentence less the language's mean over sentences; a sentence that has nothing special
    in a layer is zero there.

    Parameters
    ----------
    count : parallel documents, one per block. wanted : int64 (n_sentences,), their units.
    """
    assert count.unit is not None
    rows = rows_of(count.unit, wanted)
    tokens = np.maximum(count.n_tokens[rows], 1)[:, None, None]
    frequency = np.swapaxes(count.n_active[rows] / tokens, 0, 1)
    centred = frequency - frequency.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0).astype(np.float32)


def compare_pair(
    first: np.ndarray, second: np.ndarray, n_replicates: int, rng: np.random.Generator
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Sentences of one language with those of another, by position translations of each other.

    Parameters
    ----------
    first, second : ``sentence_vectors`` of the same units. n_replicates : bootstrap samples of sentences.

    Returns
    -------
    numbers : entries of ``SENTENCE_COLUMNS``. excess : by layer, float64 (n_layers,).
    hits : share retrieved from first to second and back, float64 (2,).
    """
    by_layer = first @ np.swapaxes(second, 1, 2)  # (layer, sentence, sentence)
    n = by_layer.shape[1]
    same = np.diagonal(by_layer, axis1=1, axis2=2).mean(axis=1)
    other = (by_layer.sum(axis=(1, 2)) - same * n) / (n * (n - 1))
    whole = by_layer.mean(axis=0).astype(np.float64)
    diagonal = np.diag(whole)
    around = (whole.sum(axis=0) + whole.sum(axis=1) - 2 * diagonal) / (2 * (n - 1))
    hits = np.stack([whole.argmax(axis=1) == np.arange(n), whole.argmax(axis=0) == np.arange(n)])
    drawn = rng.integers(n, size=(n_replicates, n))
    excess, retrieved = diagonal - around, hits.mean(axis=0)
    of_excess = estimate(excess.mean(), excess[drawn].mean(axis=1))
    of_hits = estimate(retrieved.mean(), retrieved[drawn].mean(axis=1)).clipped(0.0, 1.0)
    numbers = {
        "n_sentences": n,
        "same": float(diagonal.mean()),
        "other": float(around.mean()),
        "excess": float(of_excess.value),
        "low": float(of_excess.low),
        "high": float(of_excess.high),
        "retrieved": float(of_hits.value),
        "retrieved_low": float(of_hits.low),
        "retrieved_high": float(of_hits.high),
        "chance": 1 / n,
    }
    return numbers, (same - other).astype(np.float64), hits.mean(axis=1)


def compare_sentences(
    counts: Mapping[str, ActivationCounts], n_replicates: int, seed: int
) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """All pairs of languages.

    Parameters
    ----------
    counts : by language, parallel documents, one per block.

    Returns
    -------
    Rows of ``sentences.csv``; excess by layer, float64 (n_layers, n_languages, n_languages); share retrieved,
    float64 (n_languages, n_languages), 1 on the diagonal.

    Raises
    ------
    BabelscopeError
        For languages without parallel documents, or with fewer than ten in common.
    """
    wanted = common_units(counts)
    codes = list(counts)
    vectors = {code: sentence_vectors(count, wanted) for code, count in counts.items()}
    rows = []
    excess = np.zeros((len(vectors[codes[0]]), len(codes), len(codes)))
    retrieved = np.eye(len(codes))
    for a, b in combinations(range(len(codes)), 2):
        rng = np.random.default_rng([seed, *f"{codes[a]}\n{codes[b]}".encode()])
        numbers, by_layer, hits = compare_pair(vectors[codes[a]], vectors[codes[b]], n_replicates, rng)
        rows.append({"language_a": codes[a], "language_b": codes[b], **numbers})
        excess[:, a, b] = excess[:, b, a] = by_layer
        retrieved[a, b], retrieved[b, a] = hits
    return rows, excess, retrieved


def common_units(counts: Mapping[str, ActivationCounts]) -> np.ndarray:
    """Units of the parallel documents that all languages have, int64 (n,)."""
    plain = [code for code, count in counts.items() if count.unit is None]
    if plain:
        raise BabelscopeError(
            f"documents of {', '.join(plain)} are not parallel: set parallel of their source"
        )
    found = find_translations([count.unit for count in counts.values() if count.unit is not None])
    if len(found.common) < _FEWEST:
        raise BabelscopeError(
            f"{len(found.common)} parallel documents are in all languages, need {_FEWEST}; give those with "
            "few more text or leave them out"
        )
    return found.common


def translation_rows(counts: Mapping[str, ActivationCounts]) -> list[dict[str, Any]]:
    """Rows of ``translations.csv``: documents of each language, and those that only others have."""
    found = find_translations([count.unit for count in counts.values() if count.unit is not None])
    return [
        {"language": code, "n_documents": int(own), "n_missing": int(missing), "n_common": len(found.common)}
        for code, own, missing in zip(counts, found.n_own, found.n_missing, strict=True)
    ]


def write_sentences(
    path: str | Path, excess: np.ndarray, retrieved: np.ndarray, codes: Sequence[str], model: str
) -> None:
    """Write ``evidence/sentences.h5``."""
    datasets = {"excess": excess, "retrieved": retrieved, "languages": list(codes)}
    write_h5(path, SENTENCES, datasets, model=model)


def read_sentences(path: str | Path, model: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Excess by layer, share retrieved, and language codes out of ``evidence/sentences.h5``."""
    found, _ = read_h5(path, SENTENCES, model=model)
    return found["excess"], found["retrieved"], list(found["languages"])
