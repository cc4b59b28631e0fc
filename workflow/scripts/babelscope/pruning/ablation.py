"""Targeted ablation: which units are a language's own, and as many like them that are not.

A unit is an expert or a single neuron. Those that belong to one language are removed, all others stay. The
control removes units of the same layers that are as frequent in that language's text and say as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition
from babelscope.files.record import read_record
from babelscope.model.info import ModelInfo
from babelscope.pruning.choice import expert_scores
from babelscope.pruning.selectors import lape, read_output_norms
from babelscope.pruning.tables import EXPERT_CLASSES
from babelscope.recording.neurons import NeuronStatistics, read_neurons
from babelscope.statistics.assignment import assign_nearest

KINDS = ("experts", "neurons")
SPECIFIC = "specific"


def specific_experts(
    classes: Mapping[str, Sequence[Any]], languages: Sequence[str], shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Experts of class ``specific`` of each language, bool (n_layers, n_experts).

    Parameters
    ----------
    classes : columns ``layer``, ``expert``, ``class`` and ``group``, one entry per expert.
    shape : layers, experts of a layer.
    """
    found = {code: np.zeros(shape, dtype=bool) for code in languages}
    columns = (classes[name] for name in ("layer", "expert", "class", "group"))
    for layer, expert, kind, group in zip(*columns, strict=True):
        if kind == SPECIFIC and group in found:
            found[group][layer, expert] = True
    return found


def specific_neurons(statistics: Mapping[str, NeuronStatistics]) -> dict[str, np.ndarray]:
    """Neurons that LAPE gives to one language alone, bool (n_layers, d_ff)."""
    sets = lape(np.stack([found.probability for found in statistics.values()])).specific
    alone = sets.sum(axis=0) == 1
    return {code: own & alone for code, own in zip(statistics, sets, strict=True)}


def match_units(
    chosen: np.ndarray, frequency: np.ndarray, norm: np.ndarray, n_controls: int
) -> list[np.ndarray]:
    """Other units of the same layers, as frequent and of the same output norm.

    In each layer units are paired so that the sum of squared differences is least; frequency (its square
    root, whose sampling error is even) and logarithm of the norm count in standard deviations of the layer.

    Parameters
    ----------
    chosen : bool (n_layers, n_units), to be matched.
    frequency, norm : float64 of that shape, on the text of the language.
    n_controls : sets; a unit is in one of them at most, so that later sets fit less closely.

    Returns
    -------
    Sets, bool (n_layers, n_units); fewer where a layer has too few other units.
    """
    features = np.stack([np.sqrt(frequency), np.log(norm + 1e-12)], axis=-1)
    deviation = features.std(axis=1, keepdims=True)
    features = features / np.where(deviation > 0, deviation, 1.0)
    free = ~chosen
    sets: list[np.ndarray] = []
    for _ in range(n_controls):
        control = np.zeros_like(chosen)
        for layer in range(len(chosen)):
            own, others = np.flatnonzero(chosen[layer]), np.flatnonzero(free[layer])
            if len(others) < len(own):
                return sets
            matched = assign_nearest(features[layer, own], features[layer, others])
            control[layer, others[matched]] = True
        free &= ~control
        sets.append(control)
    return sets


def choose_ablations(
    experts: Mapping[str, np.ndarray],
    frequencies: Mapping[str, np.ndarray],
    statistics: Mapping[str, NeuronStatistics],
    norms: np.ndarray,
    partition: ExpertPartition,
    n_controls: int,
) -> list[dict[str, Any]]:
    """All sets of neurons to remove.

    Parameters
    ----------
    experts : specific experts by language, bool (n_layers, n_experts).
    frequencies : of experts by language, float64 (n_layers, n_experts).
    statistics : of neurons by language. norms : of their columns in down, float64 (n_layers, d_ff).
    n_controls : matched sets for each set.

    Returns
    -------
    Rows with ``kind``, ``language``, ``set`` (``specific`` or ``control_{number}``), ``n_units`` and
    ``neurons``, for each layer the neurons to remove. A language without specific units has none.
    """
    rows: list[dict[str, Any]] = []
    neurons = specific_neurons(statistics)
    for code, found in statistics.items():
        # root mean square of what a neuron adds to the output
        said = np.sqrt(found.mean_square) * norms
        mean = expert_scores(said, partition.labels, partition.n_experts)
        for kind, chosen, frequency, norm in (
            ("experts", experts[code], frequencies[code], mean),
            ("neurons", neurons[code], found.probability, said),
        ):
            if not chosen.any():
                continue
            matched = match_units(chosen, frequency, norm, n_controls)
            sets = {SPECIFIC: chosen} | {f"control_{n}": control for n, control in enumerate(matched)}
            for name, units in sets.items():
                mask = np.take_along_axis(units, partition.labels, axis=1) if kind == "experts" else units
                row = {"kind": kind, "language": code, "set": name, "n_units": int(units.sum())}
                rows.append(row | {"neurons": [np.flatnonzero(layer).tolist() for layer in mask]})
    return rows


def read_ablations(
    info: ModelInfo,
    partition: ExpertPartition,
    index: str,
    frequencies: Mapping[str, np.ndarray],
    neurons: Mapping[str, str],
    threshold: float,
    n_controls: int,
) -> list[dict[str, Any]]:
    """``choose_ablations`` of a study's files.

    Parameters
    ----------
    info, partition : the prepared model, and its experts.
    index : path of ``evidence/experts.json``. neurons : paths of ``neurons/{lang}.h5`` by language.
    threshold : that the index must have been made with.
    frequencies, n_controls : see ``choose_ablations``.
    """
    asked = {"model": info.name, "languages": list(frequencies), "threshold": threshold}
    classes = read_record(index, EXPERT_CLASSES, **asked)
    experts = specific_experts(classes, list(frequencies), (info.n_layers, partition.n_experts))
    found = {code: read_neurons(path, model=info.name, language=code) for code, path in neurons.items()}
    return choose_ablations(experts, frequencies, found, read_output_norms(info), partition, n_controls)


def removed_mask(neurons: Sequence[Sequence[int]], d_ff: int) -> np.ndarray:
    """Neurons that a row of ``choose_ablations`` removes, bool (n_layers, d_ff)."""
    mask = np.zeros((len(neurons), d_ff), dtype=bool)
    for row, idx in zip(mask, neurons, strict=True):
        row[list(idx)] = True
    return mask
