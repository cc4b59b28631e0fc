"""Does a conclusion depend on a choice: threshold, measure, partition, or even on the languages?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.containers import ActivationCounts
from babelscope.evidence.bootstrap import Estimate, bootstrap, estimate
from babelscope.evidence.claim_statistics import RANGES, Setting, claim_statistics, find_roles
from babelscope.evidence.claims import FAILS, HOLDS, UNDECIDED, ClaimRow, judge_recordings, paper_table_3
from babelscope.evidence.permutation import compare_groups, mantel
from babelscope.languages import Language

MAIN = "main"
SHUFFLED = "shuffled languages"


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

    ``change`` is ``same``, ``flips`` (from holds to does not hold, or back), ``loses`` (to undecided) or ``gains``
    (from undecided).
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


def judge_variant(
    variant: Variant,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    paper: Mapping[str, Any],
    n_replicates: int,
    seed: int,
) -> dict[str, tuple[list[ClaimRow], dict[str, Estimate]]]:
    """Judge the claims about recordings under every setting of a variant, in one bootstrap pass.

    Parameters
    ----------
    languages : in the order of the recordings.
    predictors : ``families.predictors_of``.
    paper : paper.json.

    Returns
    -------
    By setting: the rows, and the estimates they were judged by.
    """
    roles, codes = find_roles(languages), [row.code for row in languages]
    table_3 = paper_table_3(paper)
    settings = dict(variant.settings)

    def statistic(frequency: np.ndarray, n_tokens: np.ndarray) -> dict[str, np.ndarray]:
        return claim_statistics(frequency, n_tokens, roles, settings, table_3)

    values, replicates = bootstrap(variant.counts, codes, statistic, n_replicates, seed)
    measures = sorted({setting.measure for setting in settings.values()})
    p_values = {
        measure: _p_values(values[f"distance/{measure}"], replicates[f"distance/{measure}"], languages, predictors, seed)
        for measure in measures
    }
    outcome = {}
    for name, setting in settings.items():
        prefix = f"{name}/"
        estimates = {
            key.removeprefix(prefix): estimate(values[key], replicates[key]).clipped(
                *RANGES.get(key.removeprefix(prefix), (None, None))
            )
            for key in values
            if key.startswith(prefix)
        }
        outcome[name] = (judge_recordings(estimates, p_values[setting.measure], paper), estimates)
    return outcome


def _p_values(
    value: np.ndarray,
    replicates: np.ndarray,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, float]:
    distance = estimate(value, replicates).corrected
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


def compare_variants(main: Sequence[ClaimRow], variants: Mapping[str, Sequence[ClaimRow]]) -> list[RobustnessRow]:
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
