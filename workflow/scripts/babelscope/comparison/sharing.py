"""Experts counted by the number of languages that use them often (paper, Table 3 and Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind
from babelscope.files.tables import write_table

SHARING = Kind(
    "sharing",
    "sharing.h5",
    "count_sharing",
    ("model", "threshold"),
    {
        "n_languages_high": DatasetSpec(
            "int32", ("layer", "expert"), "languages in which the expert is high-frequency", low=0
        ),
        "high": DatasetSpec("bool", ("language", "layer", "expert"), "frequency >= threshold"),
        "languages": LANGUAGES,
    },
)


@dataclass(frozen=True)
class Sharing:
    """High-frequency experts.

    Attributes
    ----------
    high : bool (n_languages, n_layers, n_experts), ``frequency >= threshold``.
    n_languages_high : int32 (n_layers, n_experts), in 0 .. n_languages.
    n_experts_by_languages : int64 (n_languages + 1,), experts that are high-frequency in exactly m languages.
    """

    high: np.ndarray
    n_languages_high: np.ndarray
    n_experts_by_languages: np.ndarray


def count_sharing(frequency: np.ndarray, threshold: float) -> Sharing:
    """Count for every expert the languages in which its frequency reaches the threshold.

    Parameters
    ----------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    threshold : the paper takes 0.05; a frequency equal to it counts.
    """
    high = frequency >= threshold
    n_languages_high = high.sum(axis=0, dtype=np.int32)
    by_languages = np.bincount(n_languages_high.ravel(), minlength=len(frequency) + 1)
    return Sharing(high, n_languages_high, by_languages)


def write_sharing(
    path: str | Path, table: str, sharing: Sharing, languages: Sequence[str], model: str, threshold: float
) -> None:
    """Write ``sharing.h5`` and the table ``sharing.csv`` (paper, Table 3), each whole or not at all.

    Parameters
    ----------
    path, table : of the two files. The table has columns ``n_languages`` (0 to all) and ``n_experts``.
    languages : codes, in the order of ``sharing.high``.
    model : name of the model. threshold : that ``sharing`` was counted with.
    """
    datasets = {
        "n_languages_high": sharing.n_languages_high,
        "high": sharing.high,
        "languages": list(languages),
    }
    write_h5(path, SHARING, datasets, model=model, threshold=threshold)
    rows = [{"n_languages": m, "n_experts": n} for m, n in enumerate(sharing.n_experts_by_languages)]
    write_table(table, rows, ("n_languages", "n_experts"))


def read_sharing(
    path: str | Path, model: str, languages: Sequence[str] | None = None, threshold: float | None = None
) -> tuple[np.ndarray, list[str], float]:
    """Read ``sharing.h5`` of a model.

    Parameters
    ----------
    languages, threshold : that the file must have been made with; None: any.

    Returns
    -------
    n_languages_high : int32 (n_layers, n_experts), languages in which the expert is high-frequency.
    languages : codes. threshold : frequency from which an expert is high-frequency.

    Raises
    ------
    BabelscopeError
        Where the file is damaged, of another model, other languages, another threshold or another kind; the
        message names the rule that remakes it.
    """
    asked = {"languages": languages and list(languages), "threshold": threshold}
    datasets, attrs = read_h5(path, SHARING, model=model, **asked)
    return datasets["n_languages_high"], list(datasets["languages"]), attrs["threshold"]
