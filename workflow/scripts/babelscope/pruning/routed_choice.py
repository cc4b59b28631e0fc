"""Which routed experts a language keeps: as many in each layer, by a selector of the table; no torch.

To add a selector, add a row to ``ROUTED_SELECTORS`` and run ``make docs`` (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babelscope.files.hdf5 import read_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import require

SALIENCY = Kind(
    "expert_saliency",
    "saliency/{lang}.h5",
    "score_routed_experts",
    ("model", "language"),
    {
        "saliency": DatasetSpec(
            "float64",
            ("layer", "expert"),
            "mean over the tokens that choose the expert of its weight times the norm of its output; layers "
            "with a router alone",
            low=0,
        )
    },
)


@dataclass(frozen=True)
class RoutedStatistics:
    """What is known of one language's routing, float64 (n_layers_moe, n_experts) each.

    Attributes
    ----------
    frequency : share of the tokens for which the expert is chosen.
    gate : weight of the expert per token.
    saliency : of ``expert_saliency``.
    """

    frequency: np.ndarray
    gate: np.ndarray
    saliency: np.ndarray


@dataclass(frozen=True)
class RoutedSelector:
    """One way to rank a layer's routed experts.

    Attributes
    ----------
    label : in tables. score : the larger, the sooner an expert is kept.
    """

    label: str
    score: Callable[[RoutedStatistics, np.random.Generator], np.ndarray]


ROUTED_SELECTORS: dict[str, RoutedSelector] = {
    "frequency": RoutedSelector("most chosen", lambda found, rng: found.frequency),
    "gate": RoutedSelector("largest weight", lambda found, rng: found.gate),
    "reap": RoutedSelector("REAP: weight times output norm", lambda found, rng: found.saliency),
    "random": RoutedSelector("random", lambda found, rng: rng.random(found.frequency.shape)),
}


def keep_for(
    members: Sequence[RoutedStatistics], selector: str, n_kept: int, groups: int, rng: np.random.Generator
) -> np.ndarray:
    """The experts that one or several languages keep together, bool (n_layers_moe, n_experts).

    Parameters
    ----------
    members : of each language; the mean of their scores decides.
    selector : a row of ``ROUTED_SELECTORS``. n_kept, groups : see ``keep_equally``. rng : for ``random``.
    """
    score = ROUTED_SELECTORS[selector].score
    return keep_equally(np.mean([score(found, rng) for found in members], axis=0), n_kept, groups)


def remove_specific(
    own: RoutedStatistics, others: Sequence[RoutedStatistics], n_kept: int, groups: int
) -> np.ndarray:
    """What is left without the experts that a language chooses most beyond the mean of other languages.

    Returns
    -------
    bool (n_layers_moe, n_experts), true for the experts that stay.
    """
    beyond = own.frequency - np.mean([found.frequency for found in others], axis=0)
    return keep_equally(-beyond, n_kept, groups)


def share_of_choices(found: RoutedStatistics, experts: np.ndarray) -> float:
    """Share of a language's choices that go to some experts, bool (n_layers_moe, n_experts); in [0, 1]."""
    return float(found.frequency[experts].sum() / found.frequency.sum())


def keep_equally(scores: np.ndarray, n_kept: int, groups: int = 1) -> np.ndarray:
    """The ``n_kept`` largest scores of every layer, as many of each group; ties go to the lower expert.

    Parameters
    ----------
    scores : (n_layers_moe, n_experts).
    n_kept : a multiple of ``groups``.
    groups : groups of neighbours of which a router chooses some first; 1 in most families.

    Returns
    -------
    bool like ``scores``.
    """
    keep = []
    for part in np.split(scores, groups, axis=1):
        chosen = np.zeros(part.shape, dtype=bool)
        order = np.argsort(-part, axis=1, kind="stable")[:, : n_kept // groups]
        np.put_along_axis(chosen, order, True, axis=1)
        keep.append(chosen)
    return np.concatenate(keep, axis=1)


def count_kept(share: float, n_experts: int, top_k: int, groups: int = 1) -> int:
    """Experts of each layer for a share of them: a multiple of the groups, at least what a router chooses."""
    at_least = -(-top_k // groups) * groups
    return min(n_experts, max(at_least, round(share * n_experts / groups) * groups))


def read_saliency(path: str | Path, model: str, language: str) -> np.ndarray:
    """Saliency of the routed experts for one language, float64 (n_layers, n_experts), as recorded.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, or of another model or language.
    """
    datasets, _ = read_h5(path, SALIENCY, model=model, language=language)
    return datasets["saliency"]


def routed_statistics(
    counts: Mapping[str, ActivationCounts], saliency_files: Sequence[str | Path], model: str
) -> dict[str, RoutedStatistics]:
    """Statistics by language.

    Parameters
    ----------
    counts : by language, layers with a router alone. saliency_files : one per language, in that order.

    Raises
    ------
    BabelscopeError
        Where a file is wrong, of another model or language, or the recordings are not those of routers.
    """
    found = {}
    for (language, count), path in zip(counts.items(), saliency_files, strict=True):
        require(count.gate_weight is not None, "pruning routed experts needs experts.method: router")
        gate = np.asarray(count.gate_weight).sum(axis=0) / count.n_tokens.sum()
        found[language] = RoutedStatistics(count.frequency, gate, read_saliency(path, model, language))
    return found
