"""Does a conclusion depend on a choice: threshold, measure, partition, or even on the languages?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.bootstrap import bootstrap
from babelscope.evidence.claim_statistics import RANGES, Setting, claim_counts, claim_statistics, find_roles
from babelscope.evidence.claims import FAILS, HOLDS, UNDECIDED, ClaimRow, judge_recordings, paper_table_3
from babelscope.evidence.models import ModelAgreement, compare_models
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.permutation import compare_groups, mantel
from babelscope.study.languages import Language

MAIN = "main"
SHUFFLED = "shuffled languages"
ROBUSTNESS_COLUMNS = (
    "claim", "statistic", "variant", "value", "low", "high", "verdict", "main_verdict", "change",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One other way to do the study.

    Attributes
    ----------
    name : for tables and figures. counts : recordings of the languages, in their order.
    settings : by name; what is computed of these recordings.
    """

    name: str
    counts: Sequence[ActivationCounts]
    settings: Mapping[str, Setting]


@dataclass(frozen=True)
class RobustnessRow:
    """A claim's statistic in one variant beside that of the main study.

    ``change`` is ``same``, ``flips`` (from holds to does not hold, or back), ``loses`` (to undecided) or
    ``gains`` (from undecided).
    """

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
    counts: Sequence[ActivationCounts],
    controls: Mapping[str, Sequence[ActivationCounts]],
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    paper: Mapping[str, Any],
    *,
    threshold: float,
    other_thresholds: Sequence[float],
    n_replicates: int,
    seed: int,
) -> StudyVerdicts:
    """Judge the claims about recordings, and again under other choices and against controls.

    Parameters
    ----------
    counts : recordings of the main study, one a language.
    controls : recordings of other partitions or settings, by name.
    languages : in the order of the recordings.
    predictors : ``families.predictors_of``.
    paper : paper.json.
    threshold, other_thresholds : frequency from which an expert is high-frequency: the study's, and others to
        try.
    """
    alone = {MAIN: Setting(threshold=threshold)}
    settings = {
        **alone,
        **{f"threshold {other:g}": Setting(threshold=other) for other in other_thresholds},
        "KL": Setting("kl", threshold),
        "Pearson": Setting("pearson", threshold),
    }

    def judge(
        name: str, recordings: Sequence[ActivationCounts], tried: Mapping[str, Setting]
    ) -> VariantOutcome:
        return judge_variant(
            Variant(name, recordings, tried), languages, predictors, paper, n_replicates, seed
        )

    main = judge(MAIN, counts, settings)
    rows = dict(main.rows)
    agreement = []
    for name, recordings in controls.items():
        outcome = judge(name, recordings, alone)
        rows[name] = outcome.rows[MAIN]
        if len(languages) >= 4:
            agreement += [
                compare_models(MAIN, name, measure, main.distances[measure], outcome.distances[measure], seed)
                for measure in MEASURES
            ]
    rows[SHUFFLED] = judge(SHUFFLED, shuffle_languages(counts, seed), alone).rows[MAIN]
    of_main = rows.pop(MAIN)
    return StudyVerdicts(of_main, compare_variants(of_main, rows), agreement)


def judge_variant(
    variant: Variant,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    paper: Mapping[str, Any],
    n_replicates: int,
    seed: int,
) -> VariantOutcome:
    """Judge the claims about recordings under every setting of a variant, in one bootstrap pass."""
    roles, codes = find_roles(languages), [row.code for row in languages]
    table_3 = paper_table_3(paper)
    settings = dict(variant.settings)
    replicates = bootstrap(
        variant.counts,
        codes,
        lambda frequency, n_tokens: claim_statistics(frequency, n_tokens, roles, settings),
        n_replicates,
        seed,
        lambda frequency: claim_counts(frequency, settings, table_3),
    )
    distances = {measure: replicates.estimate(f"distance/{measure}").corrected for measure in MEASURES}
    p_values = {
        measure: _p_values(distances[measure], languages, predictors, seed)
        for measure in sorted({setting.measure for setting in settings.values()})
    }
    rows = {}
    for name, setting in settings.items():
        keys = [key.removeprefix(f"{name}/") for key in replicates.values if key.startswith(f"{name}/")]
        found = {key: replicates.estimate(f"{name}/{key}", *RANGES.get(key, (None, None))) for key in keys}
        rows[name] = judge_recordings(found, p_values[setting.measure], paper)
    return VariantOutcome(rows, distances)


def _p_values(
    distance: np.ndarray,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, float]:
    if len(languages) < 3:
        return {}
    rng = np.random.default_rng([seed, len(languages)])
    genus = compare_groups(distance, [f"{row.family}/{row.genus}" for row in languages], rng)
    others = [matrix for name, matrix in predictors.items() if name != "genealogy"]
    genealogy = mantel(distance, predictors["genealogy"], rng, others)
    tests = {"genus": genus, "genealogy": genealogy}
    return {name: test.p_value for name, test in tests.items() if test is not None}


def shuffle_languages(counts: Sequence[ActivationCounts], seed: int) -> list[ActivationCounts]:
    """Deal the blocks of all languages out anew: languages without a language.

    Whatever the study still finds in these recordings is not about languages.

    Returns
    -------
    As many recordings with as many blocks each as before.
    """
    n_active = np.concatenate([count.n_active for count in counts])
    n_tokens = np.concatenate([count.n_tokens for count in counts])
    order = np.random.default_rng([seed, len(n_tokens)]).permutation(len(n_tokens))
    ends = np.cumsum([len(count.n_tokens) for count in counts])
    parts = np.split(order, ends[:-1])
    return [ActivationCounts(n_active[part], n_tokens[part], counts[0].top_k) for part in parts]


def compare_variants(
    main: Sequence[ClaimRow], variants: Mapping[str, Sequence[ClaimRow]]
) -> list[RobustnessRow]:
    """Rows of every variant, in the order of the main study's statistics."""
    table = []
    for name, rows in variants.items():
        for row, reference in zip(rows, main, strict=True):
            table.append(
                RobustnessRow(
                    row.claim,
                    row.statistic,
                    name,
                    row.value,
                    row.low,
                    row.high,
                    row.verdict,
                    reference.verdict,
                    _change(reference.verdict, row.verdict),
                )
            )
    return table


def _change(before: str, after: str) -> str:
    if before == after:
        return "same"
    if {before, after} == {HOLDS, FAILS}:
        return "flips"
    return "loses" if after == UNDECIDED else "gains"
