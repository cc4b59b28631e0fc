"""Figures of pruned models: losses, the cross-language matrix, the frontier, the test of selectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from babelscope.figures.style import PALETTE, Look, new_figure
from babelscope.pruning.choice import CHOICES
from babelscope.pruning.selector_table import ALL, RANDOM

SELECTION_TITLES = {
    "threshold": "experts above the threshold",
    "same_size": "as many experts for all",
    "compensated": "the other language's finished model",
    "same_size_corrected": "as many experts, all corrected on this text's language",
    "kept": "routed experts kept",
    "removed": "specific routed experts removed",
}
# Methods of the frontier that are no rows of CHOICES.
METHOD_TITLES = {
    "most_frequent_compensated": "most frequent, compensated",
    "output_norm_experts": "largest output, experts",
    "output_norm_neurons": "largest output, neurons",
    "weight_norm": "largest weights",
    "random": "random",
    "random_same_layers": "random, layer sizes of the most frequent",
    "least_frequent": "least frequent",
}
CONTROLS = ("weight_norm", "random", "random_same_layers", "least_frequent")
SELECTOR_MARKERS = "osD^vP*Xdph<>"
UNITS_TITLES = {
    ("kept", "none"): "selected neurons kept",
    ("kept", "ridge"): "kept, compensated",
    ("removed", "none"): "selected neurons removed",
}
MARKERS = "osD^vP*Xd"
COLORS = (*PALETTE, "#888888")


def method_titles() -> dict[str, str]:
    """Labels of the frontier's lines by method, in the order of the legend."""
    shares = {name: choice.label for name, choice in CHOICES.items() if choice.takes_share}
    first = next(iter(shares))
    return {first: shares[first], "most_frequent_compensated": "", **shares, **METHOD_TITLES}


# Column, label, marker, colour; the column of the spread follows from its name.
LOSSES = (
    ("nll_dense", "dense", "o", PALETTE[0]),
    ("nll_finished", "finished model", "X", PALETTE[5]),
    ("nll_distilled", "finished model, distilled", "*", PALETTE[5]),
    ("nll_compensated", "own experts, compensated", "s", PALETTE[2]),
    ("nll_random_compensated_mean", "random experts, compensated", "v", PALETTE[2]),
    ("nll_pruned", "own experts, plain removal", "D", PALETTE[1]),
    ("nll_output_norm", "experts of largest output, plain removal", "P", PALETTE[4]),
    ("nll_random_mean", "random experts, plain removal", "^", PALETTE[3]),
)


def plot_losses(results: Sequence[Mapping[str, Any]], names: Sequence[str], model: str) -> Figure:
    """Held-out loss of each language under its experts and their controls, as many per layer.

    Bars are 95 % intervals over documents, of random experts the standard deviation of draws. Lines stand at
    the loss of a table of the profile text's token frequencies and of the uniform distribution.
    """
    figure, axes = new_figure(max(3.6, 1.6 + 0.62 * len(names)), 4.2)
    x = np.arange(len(names))
    kinds = [kind for kind in LOSSES if all(result[kind[0]] is not None for result in results)]
    if all(result["nll_finished"] == result["nll_compensated"] for result in results):
        kinds = [kind for kind in kinds if kind[0] != "nll_finished"]  # one model under two names
    for shift, (column, label, marker, color) in zip(
        np.linspace(-0.25, 0.25, len(kinds)), kinds, strict=True
    ):
        values = [result[column] for result in results]
        error, deviation = column.replace("nll_", "nll_standard_error_"), column.replace("_mean", "_sd")
        spread = [1.96 * (result.get(error) or 0.0) for result in results]
        if deviation != column:
            spread = [result[deviation] or 0.0 for result in results]
        axes.errorbar(
            x + shift, values, yerr=spread, fmt=marker, ms=4.5, color=color, label=label, lw=1, capsize=1.5
        )
    for column, label, style in (("nll_unigram", "token frequencies", "-"), ("nll_uniform", "uniform", ":")):
        values = [result[column] for result in results]
        axes.hlines(values, x - 0.4, x + 0.4, color="0.3", lw=1, ls=style, label=label)
    axes.set_xticks(x, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set(ylabel="held-out NLL, nats per token", title=f"Loss with a language's own experts, {model}")
    axes.grid(axis="y", lw=0.4, color="0.85")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2 if len(names) > 5 else 1, frameon=False)
    return figure


def plot_matrix(
    panels: Mapping[str, tuple[np.ndarray, list[str], list[str]]],
    names: Mapping[str, str],
    model: str,
    look: Look,
) -> Figure:
    """Loss above the dense model of each language (row) under the experts of each language (column).

    Parameters
    ----------
    panels : for each selection what ``excess_matrix`` returns; the own cell is framed, the best of each row
        is marked with a dot.
    names : of the languages, by code.
    """
    _, texts, choices = next(iter(panels.values()))
    width, height = 2.2 + 0.46 * len(choices), 1.4 + 0.42 * len(texts)
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure, all_axes = new_figure(
        width * n_columns + 0.8, height * n_rows + 0.5, nrows=n_rows, ncols=n_columns, squeeze=False
    )
    cmap = colormaps[look.colormap].reversed()
    for axes, (selection, (matrix, rows, columns)) in zip(all_axes.flat, panels.items(), strict=False):
        # a scale there is also where no language loses anything
        highest = max(float(np.quantile(matrix, 0.95)), 0.001)
        image = axes.imshow(matrix, cmap=cmap, vmin=0, vmax=highest)
        axes.set_xticks(
            range(len(columns)),
            [names.get(c, c) for c in columns],
            rotation=45,
            ha="right",
            rotation_mode="anchor",
        )
        axes.set_yticks(range(len(rows)), [names.get(r, r) for r in rows])
        axes.set(xlabel="experts of", ylabel="text in", title=SELECTION_TITLES.get(selection, selection))
        axes.spines[:].set_visible(False)
        for r, c in np.ndindex(matrix.shape):
            red, green, blue, _ = image.cmap(image.norm(matrix[r, c]))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            color = "white" if dark else "black"
            axes.text(c, r, f"{matrix[r, c]:.2f}", ha="center", va="center", fontsize=6.5, color=color)
            if matrix[r, c] == matrix[r].min():
                axes.plot(c + 0.36, r - 0.36, marker="o", ms=2.5, color=color)
            if rows[r] == columns[c]:
                axes.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, fill=False, lw=1.2, ec=PALETTE[5]))
        figure.colorbar(image, ax=axes, label="bits per byte above dense", shrink=0.75, extend="max")
    figure.suptitle(f"Loss under other languages' experts, {model}\nframe: own experts; dot: best of the row")
    return figure


def plot_frontier(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], model: str) -> Figure:
    """Held-out loss against kept parameters, one panel a language, one line a method."""
    languages = list(dict.fromkeys(row["language"] for row in rows))
    n_columns = min(3, len(languages))
    n_rows = -(-len(languages) // n_columns)
    figure, grid = new_figure(
        2.5 * n_columns + 2.0, 2.0 * n_rows + 0.8, nrows=n_rows, ncols=n_columns, sharex=True, squeeze=False
    )
    for axes, language in zip(grid.flat, languages, strict=False):
        mine = [row for row in rows if row["language"] == language]
        dense = next(row["nll"] for row in mine if row["method"] == "dense")
        axes.axhline(dense, color="0.4", lw=1, ls="--", label="dense")
        for number, (method, label) in enumerate(method_titles().items()):
            own = [row for row in mine if row["method"] == method]
            by_share = [[row for row in own if row["share"] == share] for share in {r["share"] for r in own}]
            if own:  # of several draws the mean, with their smallest and largest loss
                kept, nll = (
                    [[row[key] for row in rows] for rows in by_share]
                    for key in ("ffn_parameters_kept", "nll")
                )
                line = sorted(
                    (k[0], float(np.mean(n)), min(n), max(n)) for k, n in zip(kept, nll, strict=True)
                )
                x, y, least, most = zip(*line, strict=True)
                axes.fill_between(x, least, most, color=COLORS[number % 9], alpha=0.15, lw=0)
                look_of_line = {
                    "marker": MARKERS[number % 9],
                    "color": COLORS[number % 9],
                    "ms": 3.5,
                    "lw": 1,
                }
                axes.plot(x, y, ls=":" if method in CONTROLS else "-", label=label, **look_of_line)
        axes.set_yscale("log")  # what is good lies near the dense model, what is bad far away
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(names.get(language, language))
        axes.grid(lw=0.4, color="0.85")
    for axes in list(grid.flat)[len(languages) :]:
        axes.set_visible(False)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.supxlabel("share of FFN parameters kept", fontsize=9)
    figure.supylabel("held-out NLL, nats per token", fontsize=9)
    figure.suptitle(f"What is lost when less is kept, {model}", fontsize=10)
    return figure


def plot_selectors(rows: Sequence[Mapping[str, Any]], model: str) -> Figure:
    """Specificity against own loss, one panel for each use of the units, one mark for each selector.

    Marks are means over languages with 95 % intervals over languages; of one language alone, its own. Where
    several sizes were tested, the one in the middle is drawn, the smaller of two.

    Parameters
    ----------
    rows : of ``tabulate_selectors``.
    """
    language = ALL if any(row["language"] == ALL for row in rows) else rows[0]["language"]
    chosen = [row for row in rows if row["language"] == language]
    panels = {case: title for case, title in UNITS_TITLES.items() if _rows_of(chosen, *case)}
    figure, grid = new_figure(3.1 * len(panels) + 1.6, 3.4, ncols=len(panels), squeeze=False)
    names = list(dict.fromkeys(row["selector"] for row in chosen))
    for axes, (case, title) in zip(grid[0], panels.items(), strict=True):
        found = _rows_of(chosen, *case)
        for row in found:
            number = names.index(row["selector"])
            control = row["selector"] == RANDOM
            color = "0.4" if control else PALETTE[number % len(PALETTE)]
            axes.errorbar(
                row["own"],
                row["specificity"],
                xerr=_around(row, "own"),
                yerr=_around(row, "specificity"),
                fmt=SELECTOR_MARKERS[number % len(SELECTOR_MARKERS)],
                color=color,
                ms=5,
                lw=0.8,
                label=row["selector"].replace("_", " "),
            )
            if control:
                axes.axhline(row["specificity"], color=color, lw=0.8, ls="--")
        axes.axhline(0, color="0.8", lw=0.8, zorder=0)
        axes.set(title=f"{title} ({found[0]['share']:.0%})", xlabel="own loss above dense, bits per byte")
        if all(row["own"] > 0 for row in found) and case[0] == "kept":
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(lw=0.4, color="0.9")
        axes.set_axisbelow(True)
    grid[0][0].set_ylabel("specificity, bits per byte")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.suptitle(f"Whose units matter for one language, {model}", fontsize=10)
    return figure


def _rows_of(rows: Sequence[Mapping[str, Any]], units: str, compensation: str) -> list[Mapping[str, Any]]:
    """Rows of one use at the size in the middle, the smaller of two."""
    found = [row for row in rows if (row["units"], row["compensation"]) == (units, compensation)]
    shares = sorted({row["share"] for row in found})
    return [row for row in found if row["share"] == shares[(len(shares) - 1) // 2]]


def _around(row: Mapping[str, Any], name: str) -> list[list[float]]:
    """Distances to the ends of an interval; where it is unbounded, of two languages for instance, none."""
    low, high = row[name] - row[f"{name}_low"], row[f"{name}_high"] - row[name]
    return [[max(low, 0.0)], [max(high, 0.0)]]
