"""Figures about layers, experts, robustness and models."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.spatial import procrustes

from babelscope.evidence.claims import DEPENDS, FAILS, HOLDS, UNDECIDED
from babelscope.evidence.figures.parts import LEGEND, TITLE, genus_colours
from babelscope.evidence.layers import LayerRow
from babelscope.evidence.models import ModelAgreement
from babelscope.evidence.specificity import CLASSES
from babelscope.figures.style import PALETTE, Look, new_figure
from babelscope.statistics.maps import scale_to_map
from babelscope.study.languages import Language

_SHARES = {
    "share_all": ("all languages", PALETTE[0], "o"),
    "share_one": ("one language", PALETTE[5], "s"),
    "share_none": ("no language", PALETTE[7], "^"),
}
_CLASS_COLOURS = dict(
    zip(CLASSES, (PALETTE[0], PALETTE[4], PALETTE[2], PALETTE[5], "0.8", PALETTE[7]), strict=True)
)
_VERDICT_COLOURS = {HOLDS: PALETTE[0], DEPENDS: PALETTE[4], UNDECIDED: "0.85", FAILS: PALETTE[1]}
_VERDICT_MARKS = {HOLDS: "✓", DEPENDS: "±", UNDECIDED: "?", FAILS: "✗"}


def plot_layers(rows: Sequence[LayerRow], languages: Sequence[Language], model: str) -> Figure:
    """Similarity, sharing and inequality from the first layer to the last, with 95 % intervals."""
    figure, (top, middle, bottom) = new_figure(6.8, 7.4, nrows=3, sharex=True)
    _draw(top, rows, "pearson", "all", PALETTE[0], "o", "")
    top.set(ylabel="Pearson correlation,\nmean of pairs", ylim=(None, 1))
    top.set_title(f"Similarity of languages, {model}", **TITLE)
    for name, (text, colour, marker) in _SHARES.items():
        _draw(middle, rows, name, "all", colour, marker, text)
    middle.set(ylabel="share of the layer's\nexperts", ylim=(0, 1))
    middle.set_title("Experts that are high-frequency in", **TITLE)
    middle.legend(loc="center left", bbox_to_anchor=(1, 0.5), **LEGEND)
    for language in languages:
        own = sorted(
            (row.layer, row.value) for row in rows if (row.statistic, row.language) == ("gini", language.code)
        )
        bottom.plot(*np.array(own).T, color="0.7", lw=0.8)
    _draw(bottom, rows, "gini", "all", PALETTE[0], "o", "mean")
    bottom.plot([], [], color="0.7", lw=0.8, label="each language")
    for height, text in ((1 / 3, "evenly spread"), (1 / 2, "exponential")):
        bottom.axhline(height, color="0.4", lw=0.8, ls=":")
        bottom.annotate(
            text, (1.01, height), xycoords=("axes fraction", "data"), fontsize=7.5, va="center", color="0.3"
        )
    bottom.set(ylabel="Gini coefficient", xlabel="layer", ylim=(0, 1))
    bottom.set_title("Inequality of the experts' frequencies", **TITLE)
    bottom.legend(loc="upper left", ncols=2, **LEGEND)
    bottom.xaxis.get_major_locator().set_params(integer=True)
    return figure


def plot_experts(
    layer: np.ndarray,
    kind: Sequence[str],
    group: Sequence[str],
    languages: Sequence[Language],
    model: str,
    look: Look,
) -> Figure:
    """Classes of experts by layer, and for each language its specific experts by layer.

    Parameters
    ----------
    layer, kind, group : as in ``ExpertIndex``.
    """
    n_layers, n = int(layer.max()) + 1, len(languages)
    figure, (top, bottom) = new_figure(
        7.2, 3.4 + 0.24 * n, nrows=2, sharex=True, height_ratios=(2.4, 0.24 * n)
    )
    kinds = np.asarray(kind, dtype=object)
    base = np.zeros(n_layers)
    size = np.bincount(layer, minlength=n_layers)
    for name in CLASSES:
        share = np.bincount(layer[kinds == name], minlength=n_layers) / size
        top.bar(range(n_layers), share, bottom=base, width=0.9, color=_CLASS_COLOURS[name], label=name)
        base += share
    top.set(ylabel="share of experts", ylim=(0, 1))
    top.set_title(f"Classes of experts, {model}", **TITLE)
    top.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True, **LEGEND)
    table = np.zeros((n, n_layers))
    groups = np.asarray(group, dtype=object)
    for row, language in enumerate(languages):
        own = (kinds == "specific") & (groups == language.code)
        table[row] = np.bincount(layer[own], minlength=n_layers)
    bottom.imshow(table, aspect="auto", cmap=look.colormap, interpolation="nearest", vmin=0)
    for row, column in np.argwhere(table > 0):
        dark = table[row, column] < 0.6 * table.max()
        bottom.text(column, row, f"{table[row, column]:.0f}", ha="center", va="center", fontsize=6,
                    color="white" if dark else "black")  # fmt: skip
    colours = genus_colours(languages)
    bottom.set_yticks(range(n), [f"{row.name} ({table[k].sum():.0f})" for k, row in enumerate(languages)])
    for label, language in zip(bottom.get_yticklabels(), languages, strict=True):
        label.set_color(colours[language.genus])
    bottom.set(xlabel="layer")
    bottom.set_title("Language-specific experts (all layers in brackets)", **TITLE)
    bottom.xaxis.get_major_locator().set_params(integer=True)
    return figure


def plot_robustness(
    rows: Sequence[Mapping[str, Any]], main: Sequence[Mapping[str, Any]], model: str
) -> Figure:
    """Verdict of every statistic in every variant; a frame marks a verdict that flips.

    Parameters
    ----------
    rows : ``robustness`` of the verdicts. main : rows of the claims with the same statistics.
    """
    variants = ["main", *dict.fromkeys(row["variant"] for row in rows)]
    statistics = {row["id"]: row["statistic"] for row in rows}
    verdicts = {("main", row["id"]): row["verdict"] for row in main}
    verdicts |= {(row["variant"], row["id"]): row["verdict"] for row in rows}
    flips = {(row["variant"], row["id"]) for row in rows if row["change"] == "flips"}
    order = [HOLDS, DEPENDS, UNDECIDED, FAILS]
    table = np.array([[order.index(verdicts[v, s]) for v in variants] for s in statistics])
    figure, axes = new_figure(4.4 + 0.42 * len(variants), 1.9 + 0.34 * len(statistics))
    axes.imshow(
        table,
        cmap=ListedColormap([_VERDICT_COLOURS[v] for v in order]),
        vmin=0,
        vmax=3,
        aspect="auto",
        alpha=0.75,
    )
    for y, statistic in enumerate(statistics):
        for x, variant in enumerate(variants):
            verdict = verdicts[variant, statistic]
            flipped = (variant, statistic) in flips
            axes.text(x, y, _VERDICT_MARKS[verdict], ha="center", va="center", fontsize=9 if flipped else 7.5,
                      family="DejaVu Sans", fontweight="bold" if flipped else "normal")  # fmt: skip
            if flipped:
                corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * 0.44
                axes.plot(*(corners + np.array([x, y])).T, color=PALETTE[7], lw=1.2)
    axes.set_xticks(range(len(variants)), variants, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(statistics)), [textwrap.fill(text, 58) for text in statistics.values()], fontsize=7.5
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(f"Do conclusions depend on choices? {model}", **TITLE)
    handles = [Patch(color=_VERDICT_COLOURS[v], alpha=0.75, label=f"{_VERDICT_MARKS[v]} {v}") for v in order]
    handles.append(Patch(fc="none", ec=PALETTE[7], lw=1.2, label="flips against main"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, **LEGEND)
    return figure


def model_figures(
    agreement: Sequence[ModelAgreement],
    distances: Mapping[str, Mapping[str, np.ndarray]],
    languages: Sequence[Language],
) -> Iterator[tuple[str, Figure]]:
    """One figure for every two models, with its name: ``{first}_{second}``."""
    for a, b in itertools.combinations(distances, 2):
        first, second, _ = procrustes(*(scale_to_map(distances[name]["euclidean"]) for name in (a, b)))
        found = next(
            row for row in agreement if (row.model_a, row.model_b, row.measure) == (a, b, "euclidean")
        )
        note = f"Procrustes fit {found.procrustes:.2f} (p = {found.procrustes_p:.2g}), "
        note += f"rank correlation {found.spearman:.2f}"
        both = {name: distances[name]["euclidean"] for name in (a, b)}
        yield f"{a}_{b}", plot_models({a: first, b: second}, both, languages, note)


def plot_models(
    maps: Mapping[str, np.ndarray],
    distances: Mapping[str, np.ndarray],
    languages: Sequence[Language],
    note: str,
) -> Figure:
    """Two models: their maps of the languages laid on each other, and their distances pair by pair.

    Parameters
    ----------
    maps : by model, coordinates of the languages, float64 (n, 2), already aligned.
    distances : by model, float64 (n, n).
    note : agreement, for the title.
    """
    (first, second) = list(maps)
    figure, (left, right) = new_figure(9.2, 4.3, ncols=2)
    colours = genus_colours(languages)
    for idx, language in enumerate(languages):
        colour = colours[language.genus]
        ends = np.stack([maps[first][idx], maps[second][idx]])
        left.plot(*ends.T, color=colour, lw=0.8, alpha=0.6)
        left.plot(*ends[0], marker="o", color=colour, ms=6)
        left.plot(*ends[1], marker="D", mfc="white", mec=colour, ms=5)
    _name_points(left, maps[first], languages)
    left.set(xlabel="first axis", ylabel="second axis")
    left.set_title(f"Maps of the languages, laid on each other\n{note}", **TITLE)
    left.margins(0.25, 0.12)
    left.set_aspect("equal", adjustable="datalim")
    left.legend(
        handles=[
            Line2D([], [], marker="o", color="0.3", ls="", label=first),
            Line2D([], [], marker="D", mfc="white", mec="0.3", ls="", label=second),
        ],
        loc="best",
        **LEGEND,
    )
    rows, columns = np.triu_indices(len(languages), 1)
    genera = np.array([row.genus for row in languages])
    same = genera[rows] == genera[columns]
    for chosen, colour, marker, text in (
        (same, PALETTE[5], "o", "same genus"),
        (~same, PALETTE[0], "s", "other pairs"),
    ):
        x, y = (distances[name][rows, columns][chosen] for name in (first, second))
        right.plot(x, y, ls="", ms=4, color=colour, marker=marker, label=text)
    right.set(xlabel=f"distance, {first}", ylabel=f"distance, {second}")
    right.set_title("Distances, pair by pair", **TITLE)
    right.legend(loc="best", **LEGEND)
    return figure


def _name_points(axes: Any, points: np.ndarray, languages: Sequence[Language]) -> None:
    """Names beside points, away from the middle of the map, and kept apart from each other."""
    gap = 0.045 * float(np.ptp(points, axis=0).max())
    colours = genus_colours(languages)
    for side, align in ((points[:, 0] < 0, "right"), (points[:, 0] >= 0, "left")):
        height = -np.inf
        for idx in np.flatnonzero(side)[np.argsort(points[side, 1], kind="stable")]:
            height = max(height + gap, float(points[idx, 1]))
            axes.annotate(
                languages[idx].name,
                (points[idx, 0], height),
                xytext=(-7 if align == "right" else 7, 0),
                textcoords="offset points",
                ha=align,
                va="center",
                fontsize=7.5,
                color=colours[languages[idx].genus],
            )


def _draw(
    axes: Any, rows: Sequence[LayerRow], name: str, language: str, colour: Any, marker: str, text: str
) -> None:
    own = sorted(
        (row.layer, row.corrected, row.low, row.high)
        for row in rows
        if row.statistic == name and row.language == language
    )
    layer, value, low, high = np.array(own).T
    axes.fill_between(layer, low, high, color=colour, alpha=0.2, lw=0)
    axes.plot(layer, value, color=colour, marker=marker, ms=3.5, lw=1.2, label=text)
