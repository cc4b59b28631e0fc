"""Which experts or neurons to keep: the paper's threshold, budgets, and controls of the same size.

To add a way to choose, add a row to ``CHOICES`` and run ``make docs`` (docs/extending.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class ExpertChoice:
    """One way to choose the experts that a language keeps.

    Attributes
    ----------
    label : in figures.
    keep : experts to keep out of frequency, threshold and share, bool (n_layers, n_experts).
    takes_share : True where the share decides how many; such a choice is a line of the frontier.
    """

    label: str
    keep: Callable[[np.ndarray, float, float], np.ndarray]
    takes_share: bool = True


def keep_frequent(frequency: np.ndarray, threshold: float) -> np.ndarray:
    """Experts with ``frequency >= threshold`` (paper: 0.05), bool (n_layers, n_experts)."""
    return frequency >= threshold


def keep_union(choices: Sequence[np.ndarray]) -> np.ndarray:
    """Experts that at least one of several languages keeps, bool (n_layers, n_experts)."""
    return np.logical_or.reduce(list(choices))


def keep_best(scores: np.ndarray, n_kept: int) -> np.ndarray:
    """The ``n_kept`` largest scores over all layers, bool like ``scores``; ties go to the lower index."""
    order = np.argsort(-scores, axis=None, kind="stable")
    keep = np.zeros(scores.size, dtype=bool)
    keep[order[:n_kept]] = True
    return keep.reshape(scores.shape)


def keep_best_per_layer(scores: np.ndarray, n_kept: Sequence[int] | np.ndarray) -> np.ndarray:
    """The ``n_kept[l]`` largest scores of each layer, bool like ``scores``; ties go to the lower index."""
    return np.stack([keep_best(row, int(n)) for row, n in zip(scores, n_kept, strict=True)])


def draw_generator(seed: int, *names: str | float) -> np.random.Generator:
    """Generator of one random draw: another one for every language, purpose and number of the draw.

    Parameters
    ----------
    seed : of the study.
    names : what the draw is for, for instance language and number.
    """
    key = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(key, dtype="<u4")])


def keep_random(n_kept: np.ndarray, n_experts: int, rng: np.random.Generator) -> np.ndarray:
    """Random experts, ``n_kept[l]`` of them in layer l: the control with as many experts in each layer.

    Parameters
    ----------
    n_kept : int (n_layers,).
    n_experts : experts of a layer.
    rng : decides which.

    Returns
    -------
    bool (n_layers, n_experts).
    """
    order = np.stack([rng.permutation(n_experts) for _ in n_kept])
    return order < np.asarray(n_kept)[:, None]


def layer_sizes(frequency: np.ndarray, share: float) -> np.ndarray:
    """Experts to keep in each layer, in proportion to the layer's activation level, int64 (n_layers,).

    The level of a layer is its mean frequency: the share of all activations that fall into it. No layer
    keeps more than all of its experts; what that leaves over goes to the other layers.
    """
    n_experts = frequency.shape[1]
    level = np.maximum(frequency.mean(axis=1), 1e-12)
    low, high = 0.0, 1.0 / level.min()
    for _ in range(60):  # the scale with which the clipped shares have the wanted mean
        scale = (low + high) / 2
        if np.minimum(scale * level, 1.0).mean() < share:
            low = scale
        else:
            high = scale
    return np.round(np.minimum(high * level, 1.0) * n_experts).astype(np.int64)


CHOICES: dict[str, ExpertChoice] = {
    "threshold": ExpertChoice("threshold", lambda f, threshold, share: keep_frequent(f, threshold), False),
    "most_frequent": ExpertChoice(
        "most frequent", lambda f, threshold, share: keep_best(f, round(share * f.size))
    ),
    "most_frequent_per_layer": ExpertChoice(
        "most frequent of each layer",
        lambda f, threshold, share: keep_best_per_layer(f, np.full(len(f), round(share * f.shape[1]))),
    ),
    "layer_rates": ExpertChoice(
        "rates from activation level",
        lambda f, threshold, share: keep_best_per_layer(f, layer_sizes(f, share)),
    ),
}


def choose_experts(frequency: np.ndarray, method: str, threshold: float, share: float) -> np.ndarray:
    """The experts that one language keeps.

    Parameters
    ----------
    frequency : float64 (n_layers, n_experts), in [0, 1].
    method : a row of ``CHOICES``: ``threshold`` (frequency >= threshold; the paper), ``most_frequent`` (the
        most frequent share of all experts), ``most_frequent_per_layer`` (the same share in each layer),
        ``layer_rates`` (shares of the layers in proportion to how much of a layer is used).
    threshold : of method ``threshold``.
    share : of experts to keep, for the other methods, in (0, 1].

    Returns
    -------
    bool (n_layers, n_experts).

    Raises
    ------
    BabelscopeError
        Where the table has no such row.
    """
    if method not in CHOICES:
        raise BabelscopeError(f"pruning.method {method!r}: allowed are {', '.join(CHOICES)}")
    return CHOICES[method].keep(frequency, threshold, share)


def expert_scores(neuron_scores: np.ndarray, labels: np.ndarray, n_experts: int) -> np.ndarray:
    """Mean score of each expert's neurons, float64 (n_layers, n_experts).

    Parameters
    ----------
    neuron_scores : float (n_layers, d_ff).
    labels : int (n_layers, d_ff), expert of each neuron.
    n_experts : experts of a layer.
    """
    rows = zip(neuron_scores, labels, strict=True)
    return np.stack([np.bincount(l_, s, n_experts) / np.bincount(l_, minlength=n_experts) for s, l_ in rows])
