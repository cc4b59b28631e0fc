"""How routers spread languages over their experts, layer by layer, and over several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from babelscope.evidence.figures.parts import LEGEND, TITLE
from babelscope.evidence.routing import mean_by_layer
from babelscope.figures.style import PALETTE, new_figure

_CLASSES = {
    "shared_experts": "all languages",
    "specific_experts": "one language",
    "dead_experts": "none (dead)",
}


def plot_routing(rows: Sequence[Mapping[str, str]], model: str) -> Figure:
    """Balance of each language's choices, choices that languages have in common, and classes of experts.

    Parameters
    ----------
    rows : of ``routing.csv``, as text. model : name for the title.
    """
    figure, (left, middle, right) = new_figure(10.5, 3.2, ncols=3)
    languages = list(dict.fromkeys(row["language"] for row in rows if row["statistic"] == "used_experts"))
    for code in languages:
        own = [row for row in rows if row["language"] == code]
        layers, values = mean_by_layer(own, "used_experts", "value")
        left.plot(layers, values, lw=0.8, color="0.6")
        left.annotate(code, (layers[-1], values[-1]), fontsize=6, xytext=(2, 0), textcoords="offset points")
    left.set(ylabel="exp(entropy of choices) / experts", ylim=(0, 1.02), xlabel="layer")
    left.set_title(f"Share of experts in use, {model}", **TITLE)
    _common(middle, rows, PALETTE[0], "")
    middle.set_title("Choices in common, mean over pairs", **TITLE)
    middle.legend(**LEGEND)
    for (name, text), color in zip(_CLASSES.items(), PALETTE[1:], strict=False):
        layers, values = mean_by_layer(rows, name, "value")
        _, low = mean_by_layer(rows, name, "low")
        _, high = mean_by_layer(rows, name, "high")
        right.plot(layers, values, marker="o", markersize=3, lw=1, color=color, label=text)
        right.fill_between(layers, low, high, color=color, alpha=0.2, lw=0)
    right.set(ylabel="experts of the layer", xlabel="layer")
    right.set_title("Experts used often by", **TITLE)
    right.legend(**LEGEND)
    return figure


def plot_routing_of_models(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> Figure:
    """Choices that languages have in common, by layer, of several models: checkpoints of one training, say.

    Parameters
    ----------
    tables : rows of ``routing.csv`` by model, in the order of the configuration.
    """
    figure, axis = new_figure(5.4, 3.4)
    shades = np.linspace(0.75, 0.0, len(tables))
    for (model, rows), shade in zip(tables.items(), shades, strict=True):
        _common(axis, rows, str(shade), model)
    axis.set_title("Choices that two languages have in common", **TITLE)
    axis.legend(**LEGEND)
    return figure


def _common(axis, rows: Sequence[Mapping[str, str]], color: str, model: str) -> None:  # type: ignore[no-untyped-def]
    layers, values = mean_by_layer(rows, "common_choices", "value")
    _, null = mean_by_layer(rows, "common_choices", "null")
    axis.plot(layers, values, marker="o", markersize=3, lw=1.2, color=color, label=model or "languages")
    label = None if model else "documents dealt out at random"
    axis.plot(layers, null, ls=":", lw=1, color=color, label=label)
    axis.set(ylabel="sum of smaller shares", xlabel="layer", ylim=(0, 1.02))
