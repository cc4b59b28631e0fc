"""What simulations of the paper's claims share: languages, true values, misses of intervals."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from babelscope.evidence.claim_statistics import CONTRASTS
from babelscope.evidence.draws import AnyDraws, Replicates
from babelscope.evidence.replicates import MAIN, claim_estimates, replicate_claims, study_settings
from babelscope.statistics.bootstrap import Estimate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts

__all__ = [
    "CODES", "CONTRASTS", "GENERA", "Truth", "claims_of", "contrasts_of", "draw_counts", "outside",
    "replicate",
]  # fmt: skip
SETTINGS = {MAIN: study_settings(0.05, [])[MAIN]}


class Truth:
    """Frequencies without noise, as draws."""

    def __init__(self, frequency: np.ndarray) -> None:
        self.frequency = frequency[None]

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        return self.frequency, np.full(self.frequency.shape[:2], 1e12)

    def replicates(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield self.observed()


def replicate(draws: AnyDraws) -> Replicates:
    """Statistics of the claims in every replicate."""
    return replicate_claims(draws, PAPER_LANGUAGES, SETTINGS)


def claims_of(replicates: Replicates) -> dict[str, Estimate]:
    """Statistics of the claims by name, with intervals."""
    return claim_estimates(replicates, MAIN)


def contrasts_of(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Value of each contrast of distances."""
    return {name: float(found[name].value) for name in CONTRASTS}


def outside(found: Mapping[str, Estimate], values: Mapping[str, float]) -> np.ndarray:
    """Side of a value on which each contrast's interval lies: 1 above, -1 below, 0 around it."""
    return np.array([int(found[n].low > values[n]) - int(found[n].high < values[n]) for n in CONTRASTS])
