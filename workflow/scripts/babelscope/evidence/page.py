"""The claims as a page: verdicts in plain words, their statistics, and the figures to look at."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from babelscope.evidence.claims import (
    DEPENDS,
    FAILS,
    HOLDS,
    NOT_TESTED,
    UNDECIDED,
    ClaimRow,
    Criteria,
    Criterion,
    criterion_of,
    overall_verdict,
    read_claims,
    read_criteria,
)

# in the order of the page
_MARKS = {HOLDS: "✓", FAILS: "✗", DEPENDS: "±", UNDECIDED: "?", NOT_TESTED: "○"}


def claims_page(
    rows: Sequence[ClaimRow], criteria: Criteria, figures: Mapping[str, bytes], template: str, model: str
) -> str:
    """The page as HTML that needs no other file.

    Parameters
    ----------
    rows : of ``claims.json``, rows of one claim beside each other.
    criteria : that decided the rows.
    figures : PNG of every figure of the criteria, by name, in the order of the page.
    template : the page with ``$model``, ``$summary``, ``$claims`` and ``$figures``.
    """
    groups = [(claim, list(members)) for claim, members in groupby(rows, key=lambda row: row.claim)]
    return Template(template).substitute(
        model=html.escape(model),
        summary="\n".join(_summarise(verdict, groups) for verdict in _MARKS),
        claims="\n".join(_section(claim, members, criteria) for claim, members in groups),
        figures="\n".join(_figure(name, png) for name, png in figures.items()),
    )


def read_page(
    paths: Any, model: str, codes: Sequence[str]
) -> tuple[list[ClaimRow], Criteria, dict[str, bytes], str]:
    """Rows, criteria, figures and template for ``claims_page``, from the files of these names."""
    rows = read_claims(paths.claims, model, codes)
    figures = {path.stem: path.read_bytes() for path in map(Path, paths.figures)}
    return rows, read_criteria(paths.criteria), figures, Path(paths.template).read_text(encoding="utf-8")


def _summarise(verdict: str, groups: Sequence[tuple[str, Sequence[ClaimRow]]]) -> str:
    chosen = [claim for claim, members in groups if overall_verdict(members) == verdict]
    items = "".join(f"<li>{html.escape(claim)}</li>" for claim in chosen) or "<li>no claim</li>"
    return f'<h3 class="{_css(verdict)}">{_MARKS[verdict]} {verdict.capitalize()}</h3><ul>{items}</ul>'


def _section(claim: str, members: Sequence[ClaimRow], criteria: Criteria) -> str:
    verdict = overall_verdict(members)
    heads = (
        "statistic",
        "value",
        "95 % interval",
        "paper",
        "blocks dealt out",
        "languages add",
        "holds where",
        "verdict",
        "figure",
    )
    lines = "\n".join(_line(row, criterion_of(criteria, row.id)) for row in members)
    return (
        f'<h3><span class="{_css(verdict)}">{_MARKS[verdict]}</span> {html.escape(claim)}</h3>\n'
        f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>\n{lines}</table>"
    )


def _line(row: ClaimRow, criterion: Criterion) -> str:
    cells = (
        html.escape(row.statistic),
        _number(row.value),
        _interval(row.low, row.high),
        _number(row.paper_value),
        " ".join(part for part in (_number(row.pooled), row.pooled_verdict) if part),
        _interval(row.beyond_low, row.beyond_high),
        criterion.region,
        f'<span class="{_css(row.verdict)}">{_MARKS[row.verdict]} {row.verdict}</span>'
        + (f" on {html.escape(row.depends_on)}" if row.depends_on else ""),
        f'<a href="#{criterion.figure}">{criterion.figure}</a>',
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _figure(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<figure id="{name}"><img alt="{name}" src="data:image/png;base64,{data}"></figure>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _css(verdict: str) -> str:
    return verdict.replace(" ", "-")
