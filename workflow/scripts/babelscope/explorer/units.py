"""Which experts and neurons are worth a look: most specific ones of each language, most shared, others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.evidence.specificity import ExpertIndex, index_experts, most_specific
from babelscope.pruning.selectors import lape
from babelscope.recording.neurons import read_neurons
from babelscope.recording.recordings import read_recordings
from babelscope.study.errors import require
from babelscope.study.languages import Language
from babelscope.study.unit_names import name_unit, parse_unit

SHARED, LISTED = "shared", "listed"


@dataclass(frozen=True)
class Unit:
    """An expert or a neuron whose contexts are written.

    Attributes
    ----------
    kind : ``expert`` or ``neuron``. layer, number : which one.
    chosen : why: the code of the language that it is specific to, ``shared`` or ``listed``.
    """

    kind: str
    layer: int
    number: int
    chosen: str

    @property
    def name(self) -> str:
        """As in links and in the configuration, for instance ``L3E117``."""
        return name_unit(self.kind, self.layer, self.number)


def choose_units(
    index: ExpertIndex,
    frequency: np.ndarray,
    probability: np.ndarray | None,
    layers: Sequence[int],
    languages: Sequence[str],
    *,
    experts: int,
    neurons: int,
    shared: int,
    units: Sequence[str],
) -> list[Unit]:
    """The units whose contexts are written, each once, for the first reason that applies.

    Parameters
    ----------
    index : of all experts; a language's most specific ones are those of ``specific_experts.csv``.
    frequency : of experts, float64 (n_languages, n_layers, n_experts), in [0, 1].
    probability : that a neuron's gate is positive, float64 (n_languages, n_layers, d_ff), in [0, 1]; None
        where experts are routed: neurons inside them are no units.
    layers : numbers of the layers of these axes; others have no experts.
    languages : codes, in the order of the first axes.
    experts, neurons : of each language. Specific neurons are those that LAPE gives to it alone, those first
        whose probability is furthest above the next language's.
    shared : experts of the largest frequency in the language that uses them least, and as many such neurons.
    units : names of any others.

    Raises
    ------
    BabelscopeError
        For a unit that the model does not have.
    """
    listed = [Unit(*parse_unit(name), LISTED) for name in units]
    sizes = {"expert": frequency.shape[2], "neuron": 0 if probability is None else probability.shape[2]}
    for unit in listed:
        n_units = sizes[unit.kind]
        require(
            unit.layer in layers and unit.number < n_units,
            f"contexts.units: {unit.name!r}: the model has {n_units} {unit.kind}s in each of the layers "
            f"{layers[0]} to {layers[-1]}",
        )
    chosen = []
    for code in languages:
        rows = most_specific(index, languages.index(code), experts)
        cells = zip(index.layer[rows].tolist(), index.expert[rows].tolist(), strict=True)
        chosen += [Unit("expert", *cell, code) for cell in cells]
    chosen += _most("expert", frequency.min(axis=0), shared, SHARED, layers)
    if probability is not None:
        chosen += _choose_neurons(probability, languages, neurons, shared)
    found: dict[str, Unit] = {}
    for unit in [*chosen, *listed]:
        found.setdefault(unit.name, unit)
    return list(found.values())


def _choose_neurons(
    probability: np.ndarray, languages: Sequence[str], neurons: int, shared: int
) -> list[Unit]:
    """The neurons among the units of ``choose_units``."""
    layers, chosen = range(probability.shape[1]), []
    sets = lape(probability).specific
    alone = sets.sum(axis=0) == 1
    for idx, code in enumerate(languages):
        lead = probability[idx] - np.delete(probability, idx, axis=0).max(axis=0)
        own = np.where(sets[idx] & alone, lead, -np.inf)
        chosen += _most("neuron", own, neurons, code, layers)
    return chosen + _most("neuron", probability.min(axis=0), shared, SHARED, layers)


def _most(kind: str, score: np.ndarray, number: int, chosen: str, layers: Sequence[int]) -> list[Unit]:
    """Units of the largest finite scores, (n_layers, n_units); ties go to the first."""
    order = np.argsort(-score, axis=None, kind="stable")[:number]
    cells = (np.unravel_index(idx, score.shape) for idx in order if np.isfinite(score.flat[idx]))
    return [Unit(kind, int(layers[layer]), int(unit), chosen) for layer, unit in cells]


def read_units(
    job_input: Any, model: str, languages: Sequence[Language], threshold: float, wanted: Mapping[str, Any]
) -> list[Unit]:
    """``choose_units`` with what lies in files: inputs named ``activations`` and ``neurons`` (or none).

    Parameters
    ----------
    threshold : of a high frequency. wanted : the other arguments of ``choose_units`` by name.
    """
    codes = [row.code for row in languages]
    probability = None
    if job_input.neurons:
        pairs = zip(job_input.neurons, codes, strict=True)
        neurons = [read_neurons(path, model=model, language=code) for path, code in pairs]
        probability = np.stack([own.probability for own in neurons])
    counts = read_recordings(job_input.activations, model, codes)
    frequency = np.stack([count.frequency for count in counts])
    index = index_experts(counts, languages, threshold)
    return choose_units(index, frequency, probability, counts[0].layers.tolist(), codes, **wanted)
