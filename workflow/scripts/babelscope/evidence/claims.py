"""The claims of the paper: their criteria (``resources/claims.yaml``) and their rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from babelscope.files.kind import study_record
from babelscope.files.record import read_record, write_record
from babelscope.files.tables import plain_rows, write_table
from babelscope.statistics.bootstrap import Estimate
from babelscope.study.errors import BabelscopeError

HOLDS, FAILS, DEPENDS, UNDECIDED = "holds", "does not hold", "depends", "undecided"
# a claim about what no run measures
NOT_TESTED = "not tested"
DIRECTIONS = ("above", "below", "between", "at most")
CLAIM_COLUMNS = (
    "id", "claim", "statistic", "value", "low", "high", "paper_value", "verdict",
    "pooled", "pooled_verdict", "beyond", "beyond_low", "beyond_high", "depends_on",
)  # fmt: skip
CLAIMS = study_record("claims", "claims.json", "judge_claims", rows="those of claims.csv, in full precision")


@dataclass(frozen=True)
class ClaimRow:
    """One line of ``claims.csv``; numbers are None where nothing was measured or the paper printed none.

    ``id`` is ``{claim}.{statistic}``, with ``:`` and a language or share where there are several. ``pooled``
    is the value where the blocks of all languages are pooled and dealt out at random, ``pooled_verdict`` the
    verdict there: what holds there needs no language. ``beyond`` is the value less that one, with its
    interval. ``depends_on`` names the choices with another verdict, where the verdict is ``depends``.
    """

    id: str
    claim: str
    statistic: str
    value: float | None
    low: float | None
    high: float | None
    paper_value: float | None
    verdict: str
    pooled: float | None = None
    pooled_verdict: str = ""
    beyond: float | None = None
    beyond_low: float | None = None
    beyond_high: float | None = None
    depends_on: str = ""


@dataclass(frozen=True)
class Criterion:
    """The criterion by which one statistic decides a claim: an entry of ``claims.yaml``.

    Attributes
    ----------
    id : ``{claim}.{statistic}``. claim : text of the claim. text : what the statistic is.
    section : what measures it: ``recordings``, ``families``, ``pruning``, ``speed`` or ``frontier``.
    direction, bounds : the region that the claim describes; two bounds for ``between``, one for the others.
        ``at most`` is for p values.
    figure : name of the figure in which the statistic is to be seen.
    """

    id: str
    claim: str
    text: str
    section: str
    direction: str
    bounds: tuple[float, ...]
    figure: str

    @property
    def name(self) -> str:
        """The statistic's own name."""
        return self.id.partition(".")[2]

    @property
    def region(self) -> str:
        """In words, the values for which the claim holds."""
        return f"{self.direction} {' and '.join(f'{bound:.4g}' for bound in self.bounds)}"

    def judge(self, low: float, high: float) -> str:
        """Verdict of an interval; of a p value, ``low`` and ``high`` being the same."""
        if self.direction == "at most":
            return HOLDS if high <= self.bounds[0] else UNDECIDED
        above = -math.inf if self.direction == "below" else self.bounds[0]
        return judge(low, high, above, math.inf if self.direction == "above" else self.bounds[-1])

    def row(
        self,
        value: float | None,
        low: float | None = None,
        high: float | None = None,
        paper_value: float | None = None,
        of: str = "",
    ) -> ClaimRow:
        """Row with its verdict; undecided where nothing was measured or the interval has no end.

        Parameters
        ----------
        of : language or share, for a statistic that there are several of.
        """
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            low = high = None
        tested = (value, value) if self.direction == "at most" else (low, high)
        verdict = UNDECIDED if None in tested else self.judge(*tested)  # type: ignore[arg-type]
        row_id = f"{self.id}:{of}" if of else self.id
        return ClaimRow(row_id, self.claim, self.text.format(of=of), value, low, high, paper_value, verdict)


Criteria = Mapping[str, Criterion]


def read_criteria(path: str | Path) -> dict[str, Criterion]:
    """All criteria by id, in the order of the file.

    Raises
    ------
    BabelscopeError
        Naming the file and the entry that is not one.
    """
    criteria: dict[str, Criterion] = {}
    for claim in yaml.safe_load(Path(path).read_text(encoding="utf-8"))["claims"]:
        for entry in claim["statistics"]:
            name, direction = f"{claim['id']}.{entry['id']}", entry["direction"]
            given = entry["criterion"] if isinstance(entry["criterion"], list) else [entry["criterion"]]
            if direction not in DIRECTIONS or len(given) != (2 if direction == "between" else 1):
                raise BabelscopeError(
                    f"{path}: {name} has direction {direction!r} and criterion {given}; there are "
                    f"{', '.join(DIRECTIONS)}, 'between' with two numbers, the others with one"
                )
            if name in criteria:
                raise BabelscopeError(f"{path}: {name} is there twice, an id stands for one statistic")
            bounds = tuple(float(Fraction(str(bound))) for bound in given)
            texts = (claim["text"], entry["text"], entry["section"])
            criteria[name] = Criterion(name, *texts, direction, bounds, entry["figure"])
    return criteria


def criterion_of(criteria: Criteria, row_id: str) -> Criterion:
    """The criterion that decided a row."""
    return criteria[row_id.partition(":")[0]]


def judge(low: float, high: float, above: float = -math.inf, below: float = math.inf) -> str:
    """Verdict of an interval against the open region between ``above`` and ``below``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDECIDED
    if above < low and high < below:
        return HOLDS
    if high <= above or low >= below:
        return FAILS
    return UNDECIDED


def overall_verdict(rows: Iterable[ClaimRow]) -> str:
    """A claim holds where all its statistics do, does not where one does not; not tested where one is not."""
    verdicts = {row.verdict for row in rows}
    if NOT_TESTED in verdicts:
        return NOT_TESTED
    if FAILS in verdicts:
        return FAILS
    if DEPENDS in verdicts:
        return DEPENDS
    return HOLDS if verdicts == {HOLDS} else UNDECIDED


def write_claims(out: Any, rows: Sequence[ClaimRow], model: str, codes: Sequence[str]) -> None:
    """Write the table ``table`` and the record ``record``."""
    write_table(out.table, rows, CLAIM_COLUMNS)
    write_record(out.record, CLAIMS, {"rows": plain_rows(rows)}, model=model, languages=list(codes))


def read_claims(path: str | Path, model: str, codes: Sequence[str]) -> list[ClaimRow]:
    """Read the rows of ``claims.json`` of this model and these languages.

    Raises
    ------
    BabelscopeError
        As ``read_record``.
    """
    found = read_record(path, CLAIMS, model=model, languages=list(codes))
    return [ClaimRow(**row) for row in found["rows"]]


def paper_table_3(paper: Mapping[str, Any]) -> np.ndarray:
    """Table 3 as shares of all experts by number of languages, float64 (n_languages + 1,)."""
    table = paper["table_3_experts_by_number_of_languages"]
    counts = np.array([table[str(m)] for m in range(len(table))], dtype=np.float64)
    return counts / counts.sum()


def paper_values(paper: Mapping[str, Any]) -> dict[str, float]:
    """The paper's printed value of a statistic, by its name."""
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
        "smallest_rise": min(rises.values()),
        "rise_mean": paper["table_4"]["mean_pruned"] - paper["table_4"]["mean_original"],
        **rises,
    }


def judge_recordings(
    criteria: Criteria,
    estimates: Mapping[str, Estimate],
    p_values: Mapping[str, float],
    paper: Mapping[str, Any],
) -> list[ClaimRow]:
    """Rows of the claims that the recordings decide.

    Parameters
    ----------
    estimates : scalars by the name of a criterion of section ``recordings``.
    p_values : by the name of a criterion of section ``families``. What is missing gives an undecided row.
    paper : paper.json.
    """
    printed = paper_values(paper)
    rows = []
    for criterion in criteria.values():
        name = criterion.name
        if criterion.section == "families":
            rows.append(criterion.row(p_values.get(name)))
        elif criterion.section == "recordings" and name not in estimates:
            rows.append(criterion.row(None, paper_value=printed.get(name)))
        elif criterion.section == "recordings":
            found = estimates[name]
            low, high = float(found.low), float(found.high)
            # the correction can put the value at the edge of an interval that was cut at its range
            value = min(max(float(found.corrected), low), high)
            rows.append(criterion.row(value, low, high, printed.get(name)))
    return rows
