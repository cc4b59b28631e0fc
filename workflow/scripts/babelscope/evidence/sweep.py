"""Other numbers of experts and other shares of active ones: does a conclusion flip?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.claim_statistics import Setting
from babelscope.evidence.claims import ClaimRow
from babelscope.evidence.models import ModelAgreement, compare_models
from babelscope.evidence.robustness import MAIN, RobustnessRow, Variant, compare_variants, judge_variant
from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language


@dataclass(frozen=True)
class SweepPoint:
    """Recordings of all languages with another partition or another share of active experts.

    Attributes
    ----------
    counts : one a language.
    scale : threshold at which an expert is as far above the mean frequency as in the main study, over the
        main study's threshold: the ratio of the shares of active experts.
    """

    counts: Sequence[ActivationCounts]
    scale: float = 1.0


def judge_sweep(
    points: Mapping[str, SweepPoint],
    main: Sequence[ClaimRow],
    main_distances: Mapping[str, np.ndarray],
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    paper: Mapping[str, Any],
    *,
    threshold: float,
    n_replicates: int,
    seed: int,
) -> tuple[list[RobustnessRow], list[ModelAgreement]]:
    """Judge the claims about recordings at every point, and compare distances with the main study.

    A point with another share of active experts is judged twice: with the same threshold, and with one
    ``scale`` times as high.

    Parameters
    ----------
    points : by name. main : rows of ``recording_claims.csv``.
    main_distances : by measure, corrected for noise, float64 (n, n).
    languages, predictors, paper : as for ``judge_study``.
    threshold : the main study's.
    """
    rows: dict[str, list[ClaimRow]] = {}
    agreement = []
    for name, point in points.items():
        settings = {name: Setting(threshold=threshold)}
        if point.scale != 1:
            scaled = point.scale * threshold
            settings[f"{name}, threshold {scaled:.3g}"] = Setting(threshold=scaled)
        variant = Variant(name, point.counts, settings)
        outcome = judge_variant(variant, languages, predictors, paper, n_replicates, seed)
        rows |= outcome.rows
        if len(languages) >= 4:
            agreement += [
                compare_models(MAIN, name, measure, main_distances[measure], outcome.distances[measure], seed)
                for measure in MEASURES
            ]
    return compare_variants(main, rows), agreement
