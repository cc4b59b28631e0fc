"""Experts counted by the number of languages that use them often (paper, Table 3 and Figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
