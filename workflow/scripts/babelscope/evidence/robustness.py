"""Does a conclusion depend on a choice: threshold, measure, partition, or even on the languages?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.claim_statistics import PAPER_MEASURES, Setting
from babelscope.evidence.claims import (
    CLAIM_COLUMNS,
    DEPENDS,
    FAILS,
    HOLDS,
    UNDECIDED,
    ClaimRow,
    Criteria,
    Criterion,
    judge_recordings,
    paper_table_3,
    read_criteria,
)
from babelscope.evidence.draws import Replicates, draw, shuffle_languages
from babelscope.evidence.families import (
    FamilyTest,
    claim_p_values,
    read_family_predictors,
    read_family_tests,
    select_claim_tests,
)
from babelscope.evidence.models import AGREEMENT_COLUMNS, ModelAgreement, compare_models
from babelscope.evidence.replicates import (
    MAIN,
    OTHER_MEASURES,
    claim_estimates,
    corrected_distances,
    read_replicates,
    replicate_claims,
    study_settings,
)
from babelscope.files.kind import study_record
from babelscope.files.record import write_record
from babelscope.files.tables import plain_rows, write_table
from babelscope.files.whole import read_json
from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language, select_languages

DEALT_OUT = "all blocks pooled and dealt out"
ROBUSTNESS_COLUMNS = (
    "id", "claim", "statistic", "variant", "value", "low", "high", "verdict", "main_verdict", "change",
)  # fmt: skip
VERDICTS = study_record(
    "verdicts",
    "evidence/verdicts.json",
    "judge_recordings",
    claims="rows of recording_claims.csv, in full precision",
    robustness="rows of robustness.csv",
)


@dataclass(frozen=True)
class MainStudy:
    """Findings with the study's own choices.

    Attributes
    ----------
    replicates : ``read_replicates``. tests : ``read_family_tests``.
    """

    replicates: Replicates
    tests: Sequence[FamilyTest]

    def rows(
        self, criteria: Criteria, paper: Mapping[str, Any], name: str, setting: Setting
    ) -> list[ClaimRow]:
        """Rows of the claims about recordings under one of the settings."""
        chosen = select_claim_tests(self.tests, setting.measure)
        p_values = {name: test.p_value for name, test in chosen.items()}
        return judge_recordings(criteria, claim_estimates(self.replicates, name), p_values, paper)

    def main_rows(self, criteria: Criteria, paper: Mapping[str, Any]) -> list[ClaimRow]:
        """Rows of ``claims.csv``; a verdict that a measure, a partition or one language changes depends."""
        plain = self.rows(criteria, paper, MAIN, Setting())
        others = {
            name: self.rows(criteria, paper, name, Setting(measure))
            for name, measure in OTHER_MEASURES.items()
        }
        found = []
        for number, row in enumerate(plain):
            verdicts = {name: rows[number] for name, rows in others.items()} | self._kinship(criteria, row)
            differing = [
                f"{name}: {_short(other)}" for name, other in verdicts.items() if other.verdict != row.verdict
            ]
            verdict = DEPENDS if differing else row.verdict
            pooled = self._pooled(criteria[row.id])
            found.append(replace(row, verdict=verdict, depends_on="; ".join(differing), **pooled))
        return found

    def _pooled(self, criterion: Criterion) -> dict[str, Any]:
        """What the statistic is, and what its verdict, where no language is left, and what languages add."""
        found = self.replicates.pooled.get(f"{MAIN}/{criterion.name}")
        if found is None:
            return {}
        said = {"pooled": found.value, "pooled_verdict": criterion.judge(found.low, found.high)}
        beyond = {name: getattr(found, name) for name in ("beyond", "beyond_low", "beyond_high")}
        return {**said, **beyond}

    def _kinship(self, criteria: Criteria, row: ClaimRow) -> dict[str, ClaimRow]:
        """By each measure the test without the language it rests on most, and the least of the partitions."""
        criterion, found = criteria[row.id], {}
        if criterion.section != "families":
            return {}
        for measure in PAPER_MEASURES:
            test = select_claim_tests(self.tests, measure).get(criterion.name)
            if test is None:
                continue
            found[f"{measure}, a single partition"] = criterion.row(test.p_partition)
            if test.without:
                found[f"{measure} without {test.without}"] = criterion.row(test.p_high)
        return found


@dataclass(frozen=True)
class Judges:
    """Criteria and references that every variant is judged by.

    Attributes
    ----------
    languages : in the order of the recordings. predictors : ``predictors_of``.
    criteria : ``read_criteria``. paper : paper.json.
    n_replicates, seed : of the bootstrap and of permutations.
    """

    languages: Sequence[Language]
    predictors: Mapping[str, np.ndarray]
    criteria: Criteria
    paper: Mapping[str, Any]
    n_replicates: int
    seed: int

    def judge(self, counts: Sequence[ActivationCounts], settings: Mapping[str, Setting]) -> VariantOutcome:
        """Judge the claims about other recordings of the languages under every setting, in one pass."""
        draws = draw(counts, [row.code for row in self.languages], self.n_replicates, self.seed)
        replicates = replicate_claims(draws, self.languages, settings, paper_table_3(self.paper))
        distances = corrected_distances(replicates)
        p_values = {
            measure: claim_p_values(distances[measure], self.languages, self.predictors, self.seed)
            for measure in sorted({setting.measure for setting in settings.values()})
        }
        rows = {
            name: judge_recordings(
                self.criteria, claim_estimates(replicates, name), p_values[setting.measure], self.paper
            )
            for name, setting in settings.items()
        }
        return VariantOutcome(rows, distances)

    def agreement(
        self, name: str, main: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
    ) -> list[ModelAgreement]:
        """Distances of the main study and of a variant compared by every measure; needs four languages."""
        if len(self.languages) < 4:
            return []
        return [
            compare_models(MAIN, name, measure, main[measure], other[measure], self.seed)
            for measure in MEASURES
        ]


@dataclass(frozen=True)
class RobustnessRow:
    """A claim's statistic in one variant and in the main study.

    ``change`` is ``same``, ``flips`` (from holds to does not hold, or back), ``loses`` (to undecided) or
    ``gains`` (from undecided).
    """

    id: str
    claim: str
    statistic: str
    variant: str
    value: float | None
    low: float | None
    high: float | None
    verdict: str
    main_verdict: str
    change: str


@dataclass(frozen=True)
class VariantOutcome:
    """Rows of the claims by setting, and by measure the distances, corrected for noise, float64 (n, n)."""

    rows: dict[str, list[ClaimRow]]
    distances: dict[str, np.ndarray]


@dataclass(frozen=True)
class StudyVerdicts:
    """Rows of ``recording_claims.csv``, ``robustness.csv`` and ``partition_agreement.csv``."""

    main: list[ClaimRow]
    robustness: list[RobustnessRow]
    agreement: list[ModelAgreement]


def judge_study(
    main: MainStudy,
    counts: Sequence[ActivationCounts],
    controls: Mapping[str, Sequence[ActivationCounts]],
    judges: Judges,
    *,
    threshold: float,
    other_thresholds: Sequence[float],
) -> StudyVerdicts:
    """Judge the claims about recordings, and again under other choices and against controls.

    Parameters
    ----------
    main : of the same recordings, with the settings of ``study_settings``.
    counts : recordings of the main study, one per language; their blocks are shuffled.
    controls : recordings of other partitions or settings, by name.
    threshold, other_thresholds : frequency from which an expert is high-frequency: the study's, and others to
        try.
    """
    criteria, paper = judges.criteria, judges.paper
    settings = study_settings(threshold, other_thresholds)
    rows = {name: main.rows(criteria, paper, name, setting) for name, setting in settings.items()}
    distances = corrected_distances(main.replicates)
    alone = {MAIN: settings[MAIN]}
    agreement = []
    for name, recordings in controls.items():
        outcome = judges.judge(recordings, alone)
        rows[name] = outcome.rows[MAIN]
        agreement += judges.agreement(name, distances, outcome.distances)
    rows[DEALT_OUT] = judges.judge(shuffle_languages(counts, judges.seed), alone).rows[MAIN]
    of_main = rows.pop(MAIN)
    return StudyVerdicts(main.main_rows(criteria, paper), compare_variants(of_main, rows), agreement)


def compare_variants(
    main: Sequence[ClaimRow], variants: Mapping[str, Sequence[ClaimRow]]
) -> list[RobustnessRow]:
    """Rows of every variant, in the order of the main study's statistics."""
    references = {row.id: row.verdict for row in main}
    return [
        RobustnessRow(
            row.id,
            row.claim,
            row.statistic,
            name,
            row.value,
            row.low,
            row.high,
            row.verdict,
            references[row.id],
            _change(references[row.id], row.verdict),
        )
        for name, rows in variants.items()
        for row in rows
    ]


def _short(row: ClaimRow) -> str:
    number = "" if row.value is None else f" ({'p = ' if row.low is None else ''}{row.value:.2g})"
    return row.verdict + number


def _change(before: str, after: str) -> str:
    if before == after:
        return "same"
    if {before, after} == {HOLDS, FAILS}:
        return "flips"
    return "loses" if after == UNDECIDED else "gains"


def read_main(paths: Any, model: str, codes: Sequence[str]) -> MainStudy:
    """Read the findings with the study's own choices; ``paths`` has ``replicates`` and ``tests``."""
    return MainStudy(
        read_replicates(paths.replicates, model, codes), read_family_tests(paths.tests, model, codes)
    )


def read_judges(paths: Any, codes: Sequence[str], model: str, *, n_replicates: int, seed: int) -> Judges:
    """Read the criteria of variants; ``paths`` has ``languages``, ``tests``, ``criteria`` and ``paper``."""
    languages = select_languages(paths.languages, codes)
    return Judges(
        languages,
        read_family_predictors(paths.tests, model, codes),
        read_criteria(paths.criteria),
        read_json(paths.paper),
        n_replicates,
        seed,
    )


def write_verdicts(out: Any, found: StudyVerdicts, model: str, codes: Sequence[str]) -> None:
    """Write the tables ``claims``, ``robustness`` and ``agreement``, and the record ``verdicts``."""
    write_table(out.claims, found.main, CLAIM_COLUMNS)
    write_table(out.robustness, found.robustness, ROBUSTNESS_COLUMNS)
    write_table(out.agreement, found.agreement, AGREEMENT_COLUMNS)
    tables = {"claims": plain_rows(found.main), "robustness": plain_rows(found.robustness)}
    write_record(out.verdicts, VERDICTS, tables, model=model, languages=list(codes))
