"""Other numbers of experts and other shares of active ones: does a conclusion flip?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babelscope.evidence.claim_statistics import Setting
from babelscope.evidence.claims import ClaimRow
from babelscope.evidence.identities import IDENTITY_COLUMNS, Identities, compare_identities
from babelscope.evidence.models import AGREEMENT_COLUMNS, ModelAgreement
from babelscope.evidence.replicates import MAIN, corrected_distances
from babelscope.evidence.robustness import (
    ROBUSTNESS_COLUMNS,
    Judges,
    MainStudy,
    RobustnessRow,
    compare_variants,
)
from babelscope.files.kind import study_record
from babelscope.files.record import write_record
from babelscope.files.tables import plain_rows, write_table
from babelscope.recording.counts import ActivationCounts

SWEEP = study_record("sweep", "evidence/sweep.json", "judge_sweep", rows="those of sweep.csv")


@dataclass(frozen=True)
class SweepPoint:
    """Recordings of all languages with another partition or another share of active experts.

    Attributes
    ----------
    counts : one per language.
    scale : threshold at which an expert is as far above the mean frequency as in the main study, over the
        main study's threshold: the ratio of the shares of active experts.
    """

    counts: Sequence[ActivationCounts]
    scale: float = 1.0


def judge_sweep(
    points: Mapping[str, SweepPoint], main: MainStudy, judges: Judges, threshold: float
) -> tuple[list[RobustnessRow], list[ModelAgreement]]:
    """Judge the claims about recordings at every point, and compare distances with the main study.

    A point with another share of active experts is judged twice: with the same threshold, and with one
    ``scale`` times as high.

    Parameters
    ----------
    points : by name. threshold : the main study's.
    """
    rows: dict[str, list[ClaimRow]] = {}
    agreement = []
    distances = corrected_distances(main.replicates)
    for name, point in points.items():
        settings = {name: Setting(threshold=threshold)}
        if point.scale != 1:
            scaled = point.scale * threshold
            settings[f"{name}, threshold {scaled:.3g}"] = Setting(threshold=scaled)
        outcome = judges.judge(point.counts, settings)
        rows |= outcome.rows
        agreement += judges.agreement(name, distances, outcome.distances)
    own = main.rows(judges.criteria, judges.paper, MAIN, Setting(threshold=threshold))
    return compare_variants(own, rows), agreement


def sweep_identities(
    main: Sequence[ActivationCounts],
    points: Mapping[str, SweepPoint],
    judges: Judges,
    threshold: float,
    n_most: int,
) -> list[Identities]:
    """``compare_identities`` of points that have the main study's experts.

    Parameters
    ----------
    main : recordings of the main study. threshold : the main study's; a point's is ``scale`` times as high.
    """
    scaled = {name: (point.counts, point.scale * threshold) for name, point in points.items()}
    return compare_identities(main, scaled, judges.languages, threshold, n_most)


def write_sweep(
    out: Any,
    rows: Sequence[RobustnessRow],
    agreement: Sequence[ModelAgreement],
    identities: Sequence[Identities],
    model: str,
    codes: Sequence[str],
) -> None:
    """Write the tables ``verdicts``, ``agreement`` and ``identities``, and the record ``record``."""
    write_table(out.identities, identities, IDENTITY_COLUMNS)
    write_table(out.verdicts, rows, ROBUSTNESS_COLUMNS)
    write_table(out.agreement, agreement, AGREEMENT_COLUMNS)
    write_record(out.record, SWEEP, {"rows": plain_rows(rows)}, model=model, languages=list(codes))
