"""Distances and correlations between the activation frequencies of languages (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babelscope.comparison.measures import MEASURES, compare_layers, total_measures
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind
from babelscope.files.tables import write_table
from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError


def similarity_kind() -> Kind:
    """``similarity.h5``: one dataset per measure that the table has now."""
    pairs = ("language", "language")
    measures = {
        name: DatasetSpec("float64", pairs, f"{m.title}; {m.unit}", low=m.low, high=m.high)
        for name, m in MEASURES.items()
    }
    missing = DatasetSpec("int32", pairs, "layers left out of pearson: constant rows", low=0)
    datasets = {**measures, "n_missing_layers": missing, "languages": LANGUAGES}
    return Kind("similarity", "similarity.h5", "compare_languages", ("model",), datasets)


SIMILARITY = similarity_kind()


@dataclass(frozen=True)
class Similarity:
    """All pairs of languages; the row is the first argument.

    Attributes
    ----------
    matrices : by measure (a row of ``MEASURES``) float64 (n_languages, n_languages);
        ``similarity["kl"]`` is one of them.
    n_missing_layers : int32, layers left out of Pearson because a row is constant.
    """

    matrices: dict[str, np.ndarray]
    n_missing_layers: np.ndarray

    def __getitem__(self, measure: str) -> np.ndarray:
        """Matrix of one measure."""
        return self.matrices[measure]


def stack_frequencies(counts: Sequence[ActivationCounts]) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of several languages as one array.

    Parameters
    ----------
    counts : one per language, recorded with the same partition and the same top_k.

    Returns
    -------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    n_tokens : int64 (n_languages,).

    Raises
    ------
    BabelscopeError
        Where the languages were recorded with different experts or top_k.
    """
    kinds = {(count.n_active.shape[1:], count.top_k) for count in counts}
    if len(kinds) != 1:
        raise BabelscopeError(
            f"languages recorded in different ways (layers x experts, top_k): {sorted(kinds)}"
        )
    frequency = np.stack([count.frequency for count in counts])
    return frequency, np.array([count.n_tokens.sum() for count in counts], dtype=np.int64)


def compare_languages(frequency: np.ndarray, n_tokens: np.ndarray) -> Similarity:
    """Compare all pairs of languages.

    Parameters
    ----------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    n_tokens : int64 (n_languages,), tokens behind each language's frequencies; half a count is added to
        every cell before KL.

    Returns
    -------
    One float64 (n_languages, n_languages) matrix per row of ``MEASURES``; the paper (section 3) has three.
    """
    layers = compare_layers(frequency, n_tokens)
    n_missing = np.isnan(layers.pearson).sum(axis=0).astype(np.int32)
    return Similarity(total_measures(layers), n_missing)


def write_similarity(
    path: str | Path, tables: Sequence[str], similarity: Similarity, languages: Sequence[str], model: str
) -> None:
    """Write ``similarity.h5`` and one CSV per measure, each whole or not at all.

    Parameters
    ----------
    tables : paths of the CSV files, in the order of ``similarity.matrices``. The first column is the language
        that is the measure's first argument, the others are its second.
    languages : codes, in the order of the matrices. model : name of the model.
    """
    datasets = {
        **similarity.matrices,
        "n_missing_layers": similarity.n_missing_layers,
        "languages": list(languages),
    }
    write_h5(path, similarity_kind(), datasets, model=model)
    for table, (_, matrix) in zip(tables, similarity.matrices.items(), strict=True):
        rows = [
            {"language": code, **dict(zip(languages, row.tolist(), strict=True))}
            for code, row in zip(languages, matrix, strict=True)
        ]
        write_table(table, rows, ("language", *languages))


def read_similarity(
    path: str | Path, model: str, languages: Sequence[str] | None = None
) -> tuple[Similarity, list[str]]:
    """Read ``similarity.h5`` of a model.

    Parameters
    ----------
    languages : codes that the file must have, in this order; None: any.

    Returns
    -------
    similarity : with every row of ``MEASURES``. languages : codes, in the order of the matrices.

    Raises
    ------
    BabelscopeError
        Where the file is damaged, of another model, other languages or another kind; the message names the
        rule that remakes it.
    """
    datasets, _ = read_h5(path, similarity_kind(), model=model, languages=languages and list(languages))
    codes = list(datasets.pop("languages"))
    n_missing = datasets.pop("n_missing_layers")
    return Similarity({name: datasets[name] for name in MEASURES}, n_missing), codes
