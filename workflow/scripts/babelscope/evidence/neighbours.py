"""Which language is nearest to which, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.draws import Replicates
from babelscope.evidence.replicates import corrected_distances
from babelscope.statistics.bootstrap import estimate, spread_of_mean

NEIGHBOUR_COLUMNS = (
    "measure", "language", "nearest", "distance", "next", "next_distance", "margin", "low", "high", "support",
)  # fmt: skip


def tabulate_neighbours(replicates: Replicates, codes: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of ``neighbours.csv``, one a measure and language; none for fewer than three languages.

    ``margin`` is how much further than the nearest language the next one is, with its 95 % interval over
    documents and partitions: where it reaches zero, the nearest language is not known. ``support`` is the
    share of replicates in which the nearest one is nearest.
    """
    if len(codes) < 3:
        return []
    rows: list[dict[str, Any]] = []
    found = corrected_distances(replicates)
    for measure in MEASURES:
        distance, drawn = found[measure], replicates.drawn[f"distance/{measure}"]
        values = replicates.values[f"distance/{measure}"]
        parts = np.array(list(replicates.partitions.get(measure, {}).values()))
        for a, code in enumerate(codes):
            others = np.array([b for b in range(len(codes)) if b != a])
            near, following = others[np.argsort(distance[a, others], kind="stable")[:2]]
            margin = estimate(
                values[a, following] - values[a, near], drawn[:, a, following] - drawn[:, a, near]
            )
            if len(parts):
                margin = margin.widened(spread_of_mean(parts[:, a, following] - parts[:, a, near]))
            rows.append(
                {
                    "measure": measure,
                    "language": code,
                    "nearest": codes[near],
                    "distance": float(distance[a, near]),
                    "next": codes[following],
                    "next_distance": float(distance[a, following]),
                    "margin": float(margin.corrected),
                    "low": float(margin.low),
                    "high": float(margin.high),
                    "support": float((others[drawn[:, a, others].argmin(axis=1)] == near).mean()),
                }
            )
    return rows
