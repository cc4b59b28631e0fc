"""Does a router treat a sentence and its translation alike? Rows ``translations`` of ``routing.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from babelscope.evidence.sentences import common_units
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.parallel import rows_of
from babelscope.statistics.bootstrap import LEVEL

TRANSLATIONS = "translations"
# Ways in which sentences are given other partners; the p value is no smaller than one over one more.
_MOST_SHIFTS = 199


def compare_routing_of_sentences(
    counts: Mapping[str, ActivationCounts], n_replicates: int, seed: int
) -> list[dict[str, Any]]:
    """Choices that a sentence and its translation have in common, by layer and pair of languages.

    For every sentence that all languages have: the sum over experts of the smaller of its two shares of
    choices, as ``common_choices`` of whole languages. The sentences of one language are moved on by a number
    of places for the null, so that each has another one's translation beside it.

    Parameters
    ----------
    counts : by language; of routers, layers with experts alone, parallel documents, one per block.
    n_replicates : bootstrap samples of sentences, and moves at most. seed : of both.

    Returns
    -------
    Entries of rows of ``routing.csv``: ``value`` with percentiles ``low`` and ``high``; ``null``, the mean
    over moves; ``p_value``, how often a move makes sentences as alike as translations are. The moves are
    drawn from a group (Hemerik and Goeman 2018, "Exact testing with random permutations").

    Raises
    ------
    BabelscopeError
        Where documents are not parallel, or fewer than ten are in all languages.
    """
    wanted = common_units(counts)
    n, tail = len(wanted), (1 - LEVEL) / 2
    rng = np.random.default_rng([seed, n])
    drawn = rng.multinomial(n, np.full(n, 1 / n), n_replicates) / n
    moves = 1 + rng.permutation(n - 1)[: min(_MOST_SHIFTS, n_replicates)]
    shares = {code: _shares(count, wanted) for code, count in counts.items()}
    layers = next(iter(counts.values())).layers
    rows = []
    for one, other in combinations(counts, 2):
        alike = _in_common(shares[one], shares[other])  # (sentence, layer)
        null = np.stack([_in_common(shares[one], np.roll(shares[other], m, axis=0)).mean(0) for m in moves])
        value = alike.mean(axis=0)
        low, high = np.quantile(drawn @ alike, [tail, 1 - tail], axis=0)
        p_value = (1 + (null >= value).sum(axis=0)) / (1 + len(moves))
        rows += [
            {
                "layer": int(layer),
                "language": one,
                "other": other,
                "statistic": TRANSLATIONS,
                "value": float(value[at]),
                "low": float(low[at]),
                "high": float(high[at]),
                "null": float(null[:, at].mean()),
                "p_value": float(p_value[at]),
            }
            for at, layer in enumerate(layers)
        ]
    return rows


def _shares(count: ActivationCounts, wanted: np.ndarray) -> np.ndarray:
    """Share of each expert in the choices for each sentence, float32 (sentence, layer, expert)."""
    assert count.unit is not None
    chosen = count.n_active[rows_of(count.unit, wanted)].astype(np.float32)
    return chosen / np.maximum(chosen.sum(axis=2, keepdims=True), 1)


def _in_common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum over experts of the smaller share, float64 (sentence, layer)."""
    return np.minimum(first, second).sum(axis=2, dtype=np.float64)
