"""The claims as a page: verdicts in plain words, what decides each, and the figures to look at."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from string import Template

from babelscope.evidence.claims import (
    CRITERIA,
    FAILS,
    FIGURES,
    HOLDS,
    SIGNIFICANT,
    TESTS,
    UNDECIDED,
    ClaimRow,
    overall_verdict,
)
from babelscope.evidence.pruning_claims import REGIONS

PRUNING_FIGURE = "pruning"
PAGE_FIGURES = (*dict.fromkeys(FIGURES.values()), PRUNING_FIGURE)
_FIGURE_OF = {c.text: FIGURES[c.figure] for c in CRITERIA} | {text: FIGURES["tests"] for *_, text in TESTS}
_REGION_OF = {c.text: (c.above, c.below) for c in CRITERIA}
_MARKS = {HOLDS: "✓", UNDECIDED: "?", FAILS: "✗"}


def figure_of(statistic: str) -> str:
    """Name of the figure in which a statistic is to be seen."""
    return _FIGURE_OF.get(statistic, PRUNING_FIGURE)


def describe_region(statistic: str) -> str:
    """In words, the values of a statistic for which its claim holds; fixed before any model was looked at.

    Raises
    ------
    StopIteration
        For a statistic that decides no claim.
    """
    if any(statistic == text for *_, text in TESTS):
        return f"at most {SIGNIFICANT:g}"
    of_pruning = ((above, below) for text, above, below in REGIONS if statistic.startswith(text))
    above, below = _REGION_OF.get(statistic) or next(of_pruning)
    if math.isinf(below):
        return f"above {above:.4g}"
    return f"below {below:.4g}" if math.isinf(above) else f"between {above:.4g} and {below:.4g}"


def claims_page(rows: Sequence[ClaimRow], figures: Mapping[str, bytes], model: str, template: str) -> str:
    """The page as HTML that needs no other file.

    Parameters
    ----------
    rows : of ``claims.csv``, rows of one claim beside each other.
    figures : PNG of every figure in ``PAGE_FIGURES``, by name.
    template : the page with ``$model``, ``$summary``, ``$claims`` and ``$figures``.
    """
    groups = [(claim, list(members)) for claim, members in groupby(rows, key=lambda row: row.claim)]
    return Template(template).substitute(
        model=html.escape(model),
        summary="\n".join(_summarise(verdict, groups) for verdict in (HOLDS, FAILS, UNDECIDED)),
        claims="\n".join(_section(claim, members) for claim, members in groups),
        figures="\n".join(_figure(name, figures[name]) for name in PAGE_FIGURES),
    )


def _summarise(verdict: str, groups: Sequence[tuple[str, Sequence[ClaimRow]]]) -> str:
    chosen = [claim for claim, members in groups if overall_verdict(members) == verdict]
    items = "".join(f"<li>{html.escape(claim)}</li>" for claim in chosen) or "<li>no claim</li>"
    return f'<h3 class="{_css(verdict)}">{_MARKS[verdict]} {verdict.capitalize()}</h3><ul>{items}</ul>'


def _section(claim: str, members: Sequence[ClaimRow]) -> str:
    verdict = overall_verdict(members)
    heads = ("statistic", "value", "95 % interval", "paper", "holds where", "verdict", "figure")
    lines = "\n".join(_line(row) for row in members)
    return (
        f'<h3><span class="{_css(verdict)}">{_MARKS[verdict]}</span> {html.escape(claim)}</h3>\n'
        f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>\n{lines}</table>"
    )


def _line(row: ClaimRow) -> str:
    interval = "" if row.low is None or row.high is None else f"{_number(row.low)} to {_number(row.high)}"
    figure = figure_of(row.statistic)
    cells = (
        html.escape(row.statistic),
        _number(row.value),
        interval,
        _number(row.paper_value),
        describe_region(row.statistic),
        f'<span class="{_css(row.verdict)}">{_MARKS[row.verdict]} {row.verdict}</span>',
        f'<a href="#{figure}">{figure}</a>',
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _figure(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<figure id="{name}"><img alt="{name}" src="data:image/png;base64,{data}"></figure>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _css(verdict: str) -> str:
    return verdict.replace(" ", "-")
