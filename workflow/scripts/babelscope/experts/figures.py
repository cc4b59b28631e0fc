"""Figure of the experts' quality: reduction of the squared errors below random experts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from babelscope.experts.clustering import CUTS
from babelscope.experts.layer_file import LayerSse
from babelscope.figures.style import PALETTE, new_figure


def plot_clustering(layers: LayerSse, model: str) -> Figure:
    """SSE of every layer's experts below that of random experts, and with free sizes.

    Parameters
    ----------
    layers : sums of squared errors of all layers.
    model : name for the title.
    """
    figure, axes = new_figure(6.2, 3.2)
    number = np.arange(len(layers.sse))
    below_random = 100 * (1 - np.stack([layers.sse, layers.sse_unconstrained]) / layers.sse_random)
    axes.fill_between(number, *below_random, color=PALETTE[0], alpha=0.12, lw=0)
    axes.plot(
        number,
        below_random[1],
        ls="--",
        lw=1,
        color=PALETTE[0],
        label="sizes left free, starting from these experts",
    )
    axes.plot(
        number,
        below_random[0],
        marker="o",
        ms=3.5,
        lw=1.4,
        color=PALETTE[0],
        label=f"{CUTS[layers.method].label}, equal sizes",
    )
    axes.axhline(0, color="0.3", lw=1, ls=":", label="random experts of equal sizes")
    axes.set(
        xlabel="layer",
        ylabel="SSE below random experts, %",
        title=f"Experts of every layer: sum of squared errors, {model}",
    )
    axes.set_xticks(number if len(number) <= 20 else number[:: max(1, len(number) // 16)])
    axes.set_ylim(min(0.0, float(below_random.min())) - 0.04 * float(np.ptp(below_random) + 1), None)
    axes.legend(loc="best", frameon=False, fontsize=8)
    return figure
