"""Heatmaps: activation frequencies, similarities between languages, sharing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from babelscope.comparison.measures import MEASURES
from babelscope.comparison.similarity import Similarity
from babelscope.figures.style import PALETTE, Look, new_figure


def frequency_figures(
    frequency: np.ndarray, names: Sequence[str], model: str, look: Look
) -> Iterator[Figure]:
    """One figure per language, all with one colour scale, which ends at the 98th percentile.

    Parameters
    ----------
    frequency : float64 (n_languages, n_layers, n_experts), in [0, 1].
    names : names of the languages, in that order. model : name for the titles.
    look : colour map.
    """
    vmax = float(np.quantile(frequency, 0.98))
    for matrix, name in zip(frequency, names, strict=True):
        yield plot_frequency(matrix, name, model, vmax, look)


def similarity_figures(
    similarity: Similarity, names: Sequence[str], model: str, look: Look
) -> Iterator[Figure]:
    """One figure per measure.

    Parameters
    ----------
    names : names of the languages, in the order of the matrices. model : name for the titles.
    look : colour map.
    """
    for name, matrix in similarity.matrices.items():
        row = MEASURES[name]
        title = f"{row.title}\n{model}"
        yield plot_similarity(matrix, names, title, row.unit, look, row.small_is_similar)


def plot_frequency(frequency: np.ndarray, language: str, model: str, vmax: float, look: Look) -> Figure:
    """Frequency of every expert of one language (paper, Figures 1 and 7 to 14).

    Parameters
    ----------
    frequency : float64 (n_layers, n_experts), in [0, 1].
    language, model : names for the title.
    vmax : upper end of the colour scale, the same for all languages. look : colour map.
    """
    n_layers, n_experts = frequency.shape
    figure, axes = new_figure(7.0, 0.9 + 0.13 * n_layers)
    # Experts carry no order of their own; sorting within a layer shows the shape of the distribution.
    ordered = -np.sort(-frequency, axis=1)
    image = axes.imshow(
        ordered, aspect="auto", cmap=look.colormap, vmin=0, vmax=vmax, interpolation="nearest"
    )
    axes.set(
        xlabel=f"expert, sorted by frequency within its layer ({n_experts} per layer)",
        ylabel="layer",
        title=f"{language}: activation frequency of experts, {model}",
    )
    axes.set_yticks(_ticks(n_layers))
    extend = "max" if frequency.max() > vmax else "neither"
    figure.colorbar(image, ax=axes, label="share of tokens", extend=extend, pad=0.01)
    return figure


def plot_similarity(
    matrix: np.ndarray, names: Sequence[str], title: str, label: str, look: Look, reverse: bool
) -> Figure:
    """All pairs of languages with their values (paper, Figures 2, 5 and 6).

    Parameters
    ----------
    matrix : float64 (n_languages, n_languages), row = first argument.
    names : names of the languages, in matrix order.
    title, label : title and label of the colour bar.
    look : colour map.
    reverse : True where small values mean similar, so that similar is bright in every measure.
    """
    n = len(names)
    size = 1.8 + 0.46 * n
    figure, axes = new_figure(size + 0.9, size)
    off_diagonal = matrix[~np.eye(n, dtype=bool)]
    low, high = float(off_diagonal.min()), float(off_diagonal.max())
    cmap = colormaps[look.colormap]
    cmap = (cmap.reversed() if reverse else cmap).with_extremes(bad="0.85")
    # the diagonal says nothing and would use up the colour scale
    shown = np.where(np.eye(n, dtype=bool), np.nan, matrix)
    image = axes.imshow(shown, cmap=cmap, vmin=low, vmax=high)
    axes.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    if n <= 16:
        digits = 2 if high < 100 else 0
        for row in range(n):
            for column in range(n):
                _annotate(axes, row, column, matrix[row, column], image, digits, row == column)
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    return figure


def _annotate(axes, row, column, value, image, digits, diagonal) -> None:
    red, green, blue, _ = (0.85, 0.85, 0.85, 1) if diagonal else image.cmap(image.norm(value))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    text = f"{value:.{digits}f}"
    axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")


def plot_sharing(
    n_languages_high: np.ndarray, n_languages: int, threshold: float, model: str, look: Look
) -> Figure:
    """For every expert the number of languages that use it often (paper, Figure 3), and per layer.

    Parameters
    ----------
    n_languages_high : int32 (n_layers, n_experts), in 0 .. n_languages.
    threshold : frequency from which an expert counts. model : name for the title. look : colour map.
    """
    n_layers, n_experts = n_languages_high.shape
    figure, (left, right) = new_figure(
        8.2, 1.4 + 0.14 * n_layers, ncols=2, sharey=True, width_ratios=(2.4, 1)
    )
    ordered = -np.sort(-n_languages_high, axis=1)
    cmap = colormaps[look.colormap].resampled(n_languages + 1)
    norm = BoundaryNorm(np.arange(n_languages + 2) - 0.5, n_languages + 1)
    image = left.imshow(ordered, aspect="auto", cmap=cmap, norm=norm, interpolation="nearest")
    left.set(
        xlabel=f"expert, sorted within its layer ({n_experts} per layer)",
        ylabel="layer",
        title=f"Languages with frequency ≥ {threshold:g}, {model}",
    )
    left.set_yticks(_ticks(n_layers))
    bar = figure.colorbar(image, ax=left, label="number of languages", pad=0.02)
    bar.set_ticks(range(0, n_languages + 1, max(1, n_languages // 9)))
    layers = np.arange(n_layers)
    lines = ((n_languages, "o", "all languages"), (1, "s", "one language"), (0, "^", "none"))
    for (m, marker, text), color in zip(lines, PALETTE[1:], strict=False):
        share = (n_languages_high == m).mean(axis=1)
        right.plot(
            share,
            layers,
            marker=marker,
            markersize=3,
            lw=1,
            color=color,
            label=text,
        )
    right.set(xlabel="share of the layer's experts", xlim=(0, 1), title="By layer")
    figure.legend(loc="outside lower right", ncols=3)
    return figure


def _ticks(n_layers: int) -> list[int]:
    step = 1 if n_layers <= 12 else 5
    return list(range(0, n_layers, step))
