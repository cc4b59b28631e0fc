"""Figures about several corpora of a language, and about the same sentence in several languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.cluster.hierarchy import dendrogram

from babelscope.evidence.figures.parts import DISTANCES, RELATIONS, TITLE, genus_colours, relation
from babelscope.evidence.trees import cluster_languages
from babelscope.figures.style import Look, new_figure
from babelscope.study.languages import Language


def plot_corpora(
    corpora: Sequence[str],
    distances: Mapping[str, np.ndarray],
    languages: Sequence[Language],
    model: str,
) -> Figure:
    """The place of every corpus among the others: one tree per measure.

    Parameters
    ----------
    corpora : languages, and {lang}.{name} of their domains and pseudo-languages.
    distances : by measure float64 (n, n), corrected for noise.
    languages : of the study.
    """
    names = {row.code: row.name for row in languages}
    colours = {row.code: genus_colours(languages)[row.genus] for row in languages}
    figure, axes = new_figure(4.2 * len(distances), 1.6 + 0.17 * len(corpora), ncols=len(distances))
    for axis, (measure, distance) in zip(np.atleast_1d(axes), distances.items(), strict=True):
        tree = cluster_languages(distance)
        dendrogram(
            tree.linkage,
            orientation="left",
            ax=axis,
            labels=[_label(corpus, names) for corpus in corpora],
            link_color_func=lambda _: "0.35",
        )
        axis.spines[["left", "top"]].set_visible(False)
        axis.set_xlabel(DISTANCES[measure])
        axis.tick_params(axis="y", length=0, labelsize=7)
        for tick, leaf in zip(axis.get_yticklabels(), tree.order, strict=True):
            code = corpora[leaf].partition(".")[0]
            tick.set_color(colours[code])
            tick.set_fontweight("normal" if "." in corpora[leaf] else "bold")
    figure.suptitle(f"Languages, their other corpora and pseudo-languages, {model}; average linkage", **TITLE)
    return figure


def plot_sentences(
    excess: np.ndarray, retrieved: np.ndarray, languages: Sequence[Language], model: str, look: Look
) -> Figure:
    """How alike translations are by layer, and how many sentences are nearest to their translation.

    Parameters
    ----------
    excess : float64 (n_layers, n, n), cosine of the same sentence less that of two others.
    retrieved : float64 (n, n), in [0, 1].
    languages : in matrix order.
    """
    n = len(languages)
    figure, (left, right) = new_figure(9.6, 4.4, ncols=2, width_ratios=(1.15, 1))
    for kind, (colour, _) in RELATIONS.items():
        own = [
            excess[:, a, b]
            for a in range(n)
            for b in range(a + 1, n)
            if relation(languages[a], languages[b]) == kind
        ]
        if own:
            left.plot(np.transpose(own), color=colour, lw=0.5, alpha=0.35)
            left.plot(np.mean(own, axis=0), color=colour, lw=2, label=f"{kind} ({len(own)} pairs)")
    left.axhline(0, color="0.6", lw=0.8)
    left.set_xlabel("layer")
    left.set_ylabel("cosine, same sentence less other sentences")
    left.legend()
    shown = np.where(np.eye(n, dtype=bool), np.nan, retrieved)
    image = right.imshow(shown, cmap=colormaps[look.colormap], vmin=0)
    names = [row.name for row in languages]
    right.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
    right.set_yticks(range(n), names)
    right.spines[:].set_visible(False)
    right.tick_params(length=0)
    figure.colorbar(image, ax=right, format=PercentFormatter(1.0), label="nearest to their translation")
    figure.suptitle(f"The same sentence in two languages, {model}", **TITLE)
    return figure


def _label(corpus: str, names: Mapping[str, str]) -> str:
    code, _, kind = corpus.partition(".")
    return f"{names[code]}, {kind}" if kind else names[code]
