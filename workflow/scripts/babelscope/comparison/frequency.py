"""How often each language uses each expert: the file ``frequency.h5``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind

FREQUENCY = Kind(
    "frequency",
    "frequency.h5",
    "compare_languages",
    ("model",),
    {
        "frequency": DatasetSpec(
            "float64", ("language", "layer", "expert"), "n_active / n_tokens", low=0, high=1
        ),
        "languages": LANGUAGES,
    },
)


def write_frequency(
    path: str | Path,
    frequency: np.ndarray,
    languages: Sequence[str],
    model: str,
    layers: Sequence[int] | np.ndarray = (),
) -> None:
    """Write ``frequency.h5``, whole or not at all.

    Parameters
    ----------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    languages : their codes, in that order.
    model : name of the model.
    layers : numbers of the model's layers behind the axis; left out: all of them.
    """
    numbers = [int(layer) for layer in layers] or list(range(frequency.shape[1]))
    datasets = {"frequency": frequency, "languages": list(languages)}
    write_h5(path, FREQUENCY, datasets, model=model, layers=numbers)


def read_frequency(
    path: str | Path, model: str, languages: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Read ``frequency.h5`` of a model.

    Parameters
    ----------
    languages : codes that the file must have, in this order; None: any.

    Returns
    -------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    languages : their codes, in that order.

    Raises
    ------
    BabelscopeError
        Where the file is damaged, of another model, other languages or another kind; the message names the
        rule that remakes it.
    """
    datasets, _ = read_h5(path, FREQUENCY, model=model, languages=languages and list(languages))
    return datasets["frequency"], list(datasets["languages"])
