"""The claims of the paper, each with the statistic that decides it.

Every threshold stands here, with its reason, and was fixed before any model was looked at. A claim's
statistic *holds* where its whole 95 % interval lies in the region that the claim describes, *does not hold*
where the whole interval lies outside, and is *undecided* in between. A p value above 0.05 is undecided: an
effect that was not seen is not refuted. Layers of the claims (0 to 31 of Llama 2 7B) are mapped to the same
depth of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from babelscope.evidence.bootstrap import Estimate
from babelscope.study.errors import BabelscopeError

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"

# Gini of frequencies spread evenly between zero and twice their mean: below it, most experts lie within a
# factor of two of each other, which is what "differences are small" can mean at most.
SMALL_INEQUALITY = 1 / 3
# Gini of exponentially distributed frequencies: above it, the few large ones outweigh the rest.
LARGE_INEQUALITY = 1 / 2
# "most experts low" is more than half of them below the paper's own threshold of a high frequency.
MOST = 0.5
# "alike within, differ between": a tenth more distance is the least that a heat map shows.
TELL_APART = 1.1
# a contrast of distances need only be above zero; its interval says how surely
NO_DIFFERENCE = 0.0
SIGNIFICANT = 0.05
# "almost the same picture": rank correlations from 0.9 are called very strong by every common convention.
SAME_PICTURE = 0.9
# "dense" and "sparse" in Figure 3: a tenth of a layer's experts.
DENSE_OVER_SPARSE = 0.1
# "about half": between 40 and 60 percent.
ABOUT_HALF = (0.4, 0.6)
# "over a thousand in none" of 8,192.
OVER_A_THOUSAND = 1000 / 8192
# Table 3 as a whole: at most one expert in ten in another row.
SAME_TABLE = 0.1
# "about 30 percent", "about 20 percent": to ten points.
ABOUT_30 = (0.2, 0.4)
ABOUT_20 = (0.1, 0.3)
# "by little": the largest rise that the paper calls so, Urdu: 2.71 - 1.92 nats a token.
LITTLE_NATS = 0.79
# "faster", "smaller": any ratio beyond 1.
EQUAL = 1.0

FFN_SAVED = "share of FFN parameters saved, mean of languages"
CLAIM_COLUMNS = ("claim", "statistic", "value", "low", "high", "paper_value", "verdict")

# the figure in which each statistic is to be seen
FIGURES = {
    "layers": "evidence_layers",
    "families": "evidence_dendrogram_euclidean",
    "tests": "evidence_families",
    "neighbours": "evidence_distances_euclidean",
    "sharing": "sharing",
}


@dataclass(frozen=True)
class ClaimRow:
    """One line of ``claims.csv``; numbers are None where nothing was measured or the paper printed none."""

    claim: str
    statistic: str
    value: float | None
    low: float | None
    high: float | None
    paper_value: float | None
    verdict: str


@dataclass(frozen=True)
class Criterion:
    """How one statistic decides a claim.

    Attributes
    ----------
    claim : position of the claim in the paper's list. name : key of ``claim_statistics``.
    text : what the statistic is. above, below : the region that the claim describes, both ends open.
    figure : key of ``FIGURES``.
    """

    claim: int
    name: str
    text: str
    above: float = -math.inf
    below: float = math.inf
    figure: str = ""


CRITERIA = (
    Criterion(
        0,
        "gini_early",
        "Gini coefficient of frequencies, layers at the depth of 0 to 25",
        below=SMALL_INEQUALITY,
        figure="layers",
    ),
    Criterion(
        0,
        "gini_late",
        "Gini coefficient of frequencies, layers at the depth of 26 to 31",
        above=LARGE_INEQUALITY,
        figure="layers",
    ),
    Criterion(
        0,
        "low_late",
        "share of experts below the threshold, layers at the depth of 26 to 31",
        above=MOST,
        figure="layers",
    ),
    Criterion(
        1,
        "between_within",
        "mean distance between Romance and Indic over that within them",
        above=TELL_APART,
        figure="families",
    ),
    Criterion(
        2,
        "english_romance",
        "English: distance to the next group less that to Romance",
        above=NO_DIFFERENCE,
        figure="neighbours",
    ),
    Criterion(
        2,
        "english_distinct",
        "English: distance to Romance less that within Romance",
        above=NO_DIFFERENCE,
        figure="neighbours",
    ),
    Criterion(
        2,
        "arabic_indic",
        "Arabic: distance to Romance less that to Indic",
        above=NO_DIFFERENCE,
        figure="neighbours",
    ),
    Criterion(
        2,
        "chinese_romance",
        "Chinese: distance to Indic less that to Romance",
        above=NO_DIFFERENCE,
        figure="neighbours",
    ),
    Criterion(
        3,
        "measures_agree",
        "lowest rank correlation between two of the three measures",
        above=SAME_PICTURE,
        figure="families",
    ),
    Criterion(
        4,
        "middle_over_first",
        "share of experts shared by all: layers at the depth of 2 to 25 less those at 0 and 1",
        above=DENSE_OVER_SPARSE,
        figure="layers",
    ),
    Criterion(
        4,
        "middle_over_last",
        "share of experts shared by all: layers at the depth of 2 to 25 less those at 26 to 31",
        above=DENSE_OVER_SPARSE,
        figure="layers",
    ),
    Criterion(
        5, "share_all", "share of experts high-frequency in all languages", *ABOUT_HALF, figure="sharing"
    ),
    Criterion(
        5,
        "share_none",
        "share of experts high-frequency in no language",
        above=OVER_A_THOUSAND,
        figure="sharing",
    ),
    Criterion(
        5,
        "table_3_distance",
        "share of experts in another row of Table 3",
        below=SAME_TABLE,
        figure="sharing",
    ),
    Criterion(6, "ffn_saved", FFN_SAVED, *ABOUT_30, figure="sharing"),
)

# p values of tests over languages: key, claim, text
TESTS = (
    ("genus", 1, "p value, languages of one genus nearer to each other (permutation of labels)"),
    (
        "genealogy",
        1,
        "p value, distance follows genealogy; script, fertility and vocabulary constant (partial Mantel)",
    ),
)


def judge(low: float, high: float, above: float = -math.inf, below: float = math.inf) -> str:
    """Verdict of an interval against the open region between ``above`` and ``below``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDECIDED
    if above < low and high < below:
        return HOLDS
    if high <= above or low >= below:
        return FAILS
    return UNDECIDED


def judge_p_value(p_value: float | None) -> str:
    """A small p value speaks for the claim, a large one says nothing."""
    return HOLDS if p_value is not None and p_value <= SIGNIFICANT else UNDECIDED


def overall_verdict(rows: Sequence[ClaimRow]) -> str:
    """A claim holds where all its statistics do, and does not where one does not."""
    verdicts = {row.verdict for row in rows}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else UNDECIDED


def read_claims(rows: Sequence[Mapping[str, str]]) -> list[ClaimRow]:
    """Rows of a claims table as it was read from CSV."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    return [
        ClaimRow(
            row["claim"],
            row["statistic"],
            number(row["value"]),
            number(row["low"]),
            number(row["high"]),
            number(row["paper_value"]),
            row["verdict"],
        )
        for row in rows
    ]


def paper_table_3(paper: Mapping[str, Any]) -> np.ndarray:
    """Table 3 as shares of all experts by number of languages, float64 (n_languages + 1,)."""
    table = paper["table_3_experts_by_number_of_languages"]
    counts = np.array([table[str(m)] for m in range(len(table))], dtype=np.float64)
    return counts / counts.sum()


def paper_values(paper: Mapping[str, Any]) -> dict[str, float]:
    """What the paper printed for a statistic, by its name."""
    shares = paper_table_3(paper)
    codes = list(paper["languages"])
    high = [paper["table_4"][code][0] for code in codes]
    rises = {f"rise_{code}": paper["table_4"][code][1] - paper["table_4"][code][2] for code in codes}
    return {
        "share_all": float(shares[-1]),
        "share_none": float(shares[0]),
        "table_3_distance": 0.0,
        "ffn_saved": 1 - float(np.mean(high)) / 100,
        "all_saved": 0.2,
        "rise_mean": paper["table_4"]["mean_pruned"] - paper["table_4"]["mean_original"],
        **rises,
    }


def judge_recordings(
    estimates: Mapping[str, Estimate],
    p_values: Mapping[str, float],
    paper: Mapping[str, Any],
) -> list[ClaimRow]:
    """Rows of the claims that the recordings decide.

    Parameters
    ----------
    estimates : scalars by the name of a ``Criterion``; a missing one gives an undecided row.
    p_values : by the keys of ``TESTS``.
    paper : paper.json.
    """
    claims, printed = list(paper["claims"]), paper_values(paper)
    if len(claims) != 9:
        raise BabelscopeError(f"paper.json lists {len(claims)} claims, the criteria are for its nine")
    rows: list[tuple[int, ClaimRow]] = []
    for c in CRITERIA:
        row = ClaimRow(claims[c.claim], c.text, None, None, None, printed.get(c.name), UNDECIDED)
        found = estimates.get(c.name)
        if found is not None:
            low, high = float(found.low), float(found.high)
            # the correction can put the value at the edge of an interval that was cut at its range
            value = min(max(float(found.corrected), low), high)
            verdict = judge(low, high, c.above, c.below)
            row = replace(row, value=value, low=low, high=high, verdict=verdict)
        rows.append((c.claim, row))
    for name, claim, text in TESTS:
        p_value = p_values.get(name)
        row = ClaimRow(claims[claim], text, p_value, None, None, None, judge_p_value(p_value))
        rows.append((claim, row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]
