"""Figures about noise and families: distances over their floor, dendrograms, learning curves, tests."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.cluster.hierarchy import dendrogram

from babelscope.evidence.families import FamilyTest
from babelscope.evidence.figures.parts import (
    DISTANCES,
    LEGEND,
    RELATIONS,
    SINGLE,
    TITLE,
    genus_colours,
    relation,
)
from babelscope.evidence.trees import Dendrogram
from babelscope.figures.style import PALETTE, Look, new_figure
from babelscope.study.languages import Language


def plot_dendrogram(
    tree: Dendrogram,
    distance: np.ndarray,
    floor: np.ndarray,
    languages: Sequence[Language],
    measure: str,
    model: str,
    look: Look,
) -> Figure:
    """Tree of the languages beside their distances, with the noise floor on the diagonal.

    Parameters
    ----------
    tree : average linkage, with bootstrap support of its clades.
    distance : float64 (n, n), corrected for noise.
    floor : float64 (n,), distance between two samples of one language.
    languages : in matrix order.
    """
    n = len(languages)
    cell = 0.46 if n <= 12 else 0.27
    side = cell * n
    figure, (left, right) = new_figure(side + 4.4, side + 1.6, ncols=2, width_ratios=(1.5, side))
    order, colours = tree.order, genus_colours(languages)
    with_names = [languages[idx].name for idx in order]
    drawn = dendrogram(
        tree.linkage, orientation="left", ax=left, no_labels=True, link_color_func=lambda _: "0.25"
    )
    left.set_ylim(10 * n, 0)
    left.spines[["left", "right", "top"]].set_visible(False)
    left.set_yticks([])
    left.set_xlabel("distance in the tree")
    left.xaxis.set_major_locator(MaxNLocator(3))
    _annotate_support(left, tree, drawn)
    shown = distance[np.ix_(order, order)].copy()
    off_diagonal = shown[~np.eye(n, dtype=bool)]
    np.fill_diagonal(shown, floor[order])
    cmap = colormaps[look.colormap].reversed()
    image = right.imshow(shown, cmap=cmap, vmin=0, vmax=float(off_diagonal.max()), aspect="auto")
    right.set_xticks(range(n), with_names, rotation=45, ha="right", rotation_mode="anchor")
    right.set_yticks(range(n), with_names)
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    for axis in (right.get_xticklabels(), right.get_yticklabels()):
        for label, idx in zip(axis, order, strict=True):
            label.set_color(colours[languages[idx].genus])
            label.set_fontweight("bold" if colours[languages[idx].genus] != SINGLE else "normal")
    for spot in range(n):
        right.add_patch(Rectangle((spot - 0.46, spot - 0.46), 0.92, 0.92, fill=False, ec="0.3", lw=0.8))
    if n <= 12:
        _write_cells(right, shown, image)
    figure.colorbar(image, ax=right, label=DISTANCES[measure], shrink=0.85, pad=0.02)
    figure.suptitle(
        f"{DISTANCES[measure]}, corrected for noise, {model}\nframed: floor, two samples of one language; "
        f"tree: average linkage, cophenetic correlation {tree.cophenetic:.2f}, bootstrap support in %",
        **TITLE,
    )
    handles = [
        Line2D([], [], marker="s", ls="", color=colour, label=genus)
        for genus, colour in colours.items()
        if colour != SINGLE
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), **LEGEND)
    return figure


def plot_distances(
    rows: Sequence[Mapping[str, Any]], languages: Sequence[Language], measure: str, model: str
) -> Figure:
    """For every language its distance to each other one, with intervals, over its noise floor.

    Parameters
    ----------
    rows : pairs of the intervals, of one measure.
    """
    index = {row.code: number for number, row in enumerate(languages)}
    n = len(languages)
    figure, axes = new_figure(7.2, 1.5 + 0.42 * n)
    longest = max(row["high"] for row in rows)
    for own, language in enumerate(languages):
        near = sorted(
            (
                (row["corrected"], row)
                for row in rows
                if language.code in (row["language_a"], row["language_b"])
            ),
            key=lambda item: item[0],
        )
        last, above = -np.inf, True
        for value, row in near:
            other = languages[
                index[row["language_b" if row["language_a"] == language.code else "language_a"]]
            ]
            colour, marker = RELATIONS[relation(language, other)]
            axes.plot(
                [row["low"], row["high"]], [own, own], color=colour, lw=2.5, alpha=0.35, solid_capstyle="butt"
            )
            axes.plot(value, own, marker=marker, ms=4, color=colour, ls="")
            if n > 12:
                continue
            # labels of near neighbours take turns above and below the markers
            above = not above if value - last < 0.028 * longest else True
            last = value
            shift, side = (4.5, "bottom") if above else (-4.5, "top")
            axes.annotate(other.code, (value, own), xytext=(0, shift), textcoords="offset points", va=side,
                          ha="center", fontsize=6.5, color=colour)  # fmt: skip
    for own, language in enumerate(languages):
        floors = [row["floor"] for row in rows if language.code in (row["language_a"], row["language_b"])]
        axes.barh(own, float(np.mean(floors)), height=0.62, color="0.88", zorder=0)
    axes.set_yticks(range(n), [row.name for row in languages])
    axes.set_ylim(n - 0.5, -0.6)
    axes.set_xlim(0, None)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=f"{DISTANCES[measure]}, corrected for noise, 95 % interval")
    axes.set_title(f"Distance of each language to all others, {model}", **TITLE)
    handles = [Line2D([], [], marker=m, ls="", color=c, label=text) for text, (c, m) in RELATIONS.items()]
    handles.append(Line2D([], [], lw=7, color="0.88", label="noise floor"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, **LEGEND)
    return figure


def plot_learning_curve(
    rows: Sequence[Mapping[str, Any]],
    nearest: Mapping[str, float],
    languages: Sequence[Language],
    model: str,
) -> Figure:
    """Distance between two sets of documents of one language, by their tokens.

    Parameters
    ----------
    rows : the curve of the intervals.
    nearest : by language code, corrected Euclidean distance to its nearest language.
    """
    figure, axes = new_figure(6.4, 4.0)
    styles = ("-", "--", ":")
    for number, language in enumerate(languages):
        own = sorted((row["n_tokens"], row["euclidean"]) for row in rows if row["language"] == language.code)
        tokens, distance = np.array(own).T
        colour = PALETTE[number % len(PALETTE)]
        style = styles[number // len(PALETTE) % len(styles)]
        axes.plot(tokens, distance, marker="o", ms=3, lw=1.2, ls=style, color=colour, label=language.name)
    every = np.array([[row["n_tokens"], row["euclidean"]] for row in rows])
    ends = np.array([every[:, 0].min(), every[:, 0].max()])
    middle = np.exp(np.log(every).mean(axis=0))
    guide = 0.7 * middle[1] * np.sqrt(middle[0] / ends)
    axes.plot(ends, guide, color="0.5", lw=1, ls=(0, (6, 2)))
    axes.annotate("slope -1/2", (ends[0], guide[0]), color="0.4", fontsize=8, va="top", xytext=(2, -3),
                  textcoords="offset points")  # fmt: skip
    least = min(nearest, key=lambda code: nearest[code])
    names = {row.code: row.name for row in languages}
    axes.axhline(nearest[least], color="0.2", lw=0.8)
    text = f"{names[least]} and its nearest language"
    axes.annotate(text, (ends[1], nearest[least]), ha="right", va="bottom",
                  fontsize=8, color="0.2", xytext=(0, 2), textcoords="offset points")  # fmt: skip
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="tokens in each of two sets of documents of one language",
        ylabel="Euclidean distance between the sets",
    )
    axes.set_title(f"Two samples of one language, {model}", **TITLE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + (len(languages) > 16), **LEGEND)
    return figure


def plot_family_tests(tests: Sequence[FamilyTest], model: str) -> Figure:
    """Effect size of every test by measure; filled where significant after correction."""
    measures = list(dict.fromkeys(test.measure for test in tests))
    questions = list(dict.fromkeys(_asked(test) for test in tests))
    figure, axes = new_figure(7.2, 1.3 + 0.34 * max(3, len(questions)))
    for test in tests:
        shift = (measures.index(test.measure) - (len(measures) - 1) / 2) * 0.22
        colour = PALETTE[measures.index(test.measure)]
        y = questions.index(_asked(test)) + shift
        axes.plot([0, test.effect], [y, y], color=colour, lw=1)
        face = colour if test.p_adjusted <= 0.05 else "white"
        axes.plot(test.effect, y, marker="os^"[measures.index(test.measure)], ms=5, mec=colour, mfc=face)
    axes.axvline(0, color="0.3", lw=0.8)
    if not tests:
        axes.text(0.3, 0.5, "too few languages for any test", ha="center")
    axes.set_yticks(range(len(questions)), [_question(*question) for question in questions])
    axes.set_ylim(len(questions) - 0.4, -0.6)
    axes.set(
        xlabel="effect size: ANOSIM R of groups, Mantel correlation else\n(a | b: a with b held constant)",
        xlim=(min([-0.4, *(test.effect - 0.08 for test in tests)]), 1.04),
    )
    handles = [
        Line2D([], [], marker="os^"[k], color=PALETTE[k], ls="", label=DISTANCES[name].split(",")[0])
        for k, name in enumerate(measures)
    ]
    handles.append(Line2D([], [], marker="o", mec="0.3", mfc="white", ls="", label="open: adjusted p > 0.05"))
    figure.suptitle(f"What explains the distances between languages, {model}", **TITLE)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, **LEGEND)
    return figure


def _asked(test: FamilyTest) -> tuple[str, str, str, str]:
    return test.test, test.predictor, test.controls, test.within


def _question(test: str, predictor: str, controls: str, within: str) -> str:
    predictor, controls = predictor.replace("_", " "), controls.replace("_", " ").replace("+", ", ")
    place = f", {within} alone" if within else ""
    if test == "groups":
        return f"groups by {predictor}{place}"
    return textwrap.fill(f"{predictor} | {controls}{place}" if controls else predictor + place, 44)


def _annotate_support(axes: Any, tree: Dendrogram, drawn: Mapping[str, Any]) -> None:
    """Bootstrap support in percent at each clade, but for the root, which every tree has."""
    heights = {
        round(float(height), 9): share for height, share in zip(tree.linkage[:, 2], tree.support, strict=True)
    }
    for ys, xs in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        height = float(xs[1])
        share = heights.get(round(height, 9), np.nan)
        if np.isnan(share) or height >= tree.linkage[-1, 2]:
            continue
        middle = (ys[1] + ys[2]) / 2
        axes.annotate(f"{100 * share:.0f}", (height, middle), fontsize=6.5, ha="right", va="bottom",
                      xytext=(-2, 1), textcoords="offset points", color=PALETTE[0])  # fmt: skip


def _write_cells(axes: Any, shown: np.ndarray, image: Any) -> None:
    digits = 2 if shown.max() < 100 else 0
    for row in range(len(shown)):
        for column in range(len(shown)):
            red, green, blue, _ = image.cmap(image.norm(shown[row, column]))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes.text(column, row, f"{shown[row, column]:.{digits}f}", ha="center", va="center", fontsize=7,
                      color="white" if dark else "black")  # fmt: skip
