"""One look for all figures, and saving each as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from babelscope.files.whole import whole_file
from babelscope.study.errors import BabelscopeError, require

# Okabe and Ito: eight colours that all kinds of colour vision can distinguish.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")

_LONGEST_SIDE, _MOST_PIXELS = 2**16 - 100, 2**28  # of an image: the renderer's bound, and 1 GB

_RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "babelscope",
}


@dataclass(frozen=True)
class Look:
    """Colour map for heatmaps and resolution of PNG files."""

    colormap: str = "viridis"
    dpi: int = 200

    def __post_init__(self) -> None:
        if self.colormap not in matplotlib.colormaps:
            raise BabelscopeError(f"figures.colormap {self.colormap!r} is no colour map of matplotlib")


def new_figure(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """A figure of a size in inches with one or more axes, in the study's style."""
    with plt.rc_context(_RC):
        return plt.subplots(figsize=(width, height), **grid)


def resolution(size: Sequence[float], dpi: int) -> float:
    """Dots per inch of a figure of a size in inches: as asked for, or as many as an image can have.

    Snakemake removes the old figure before it makes the new one: no allowed resolution may fail.
    """
    width, height = size
    return min(dpi, _LONGEST_SIDE / max(width, height), (_MOST_PIXELS / (width * height)) ** 0.5)


def save_figure(figure: Figure, paths: Sequence[str | Path], look: Look) -> None:
    """Save a figure under each path (the ending decides the format), whole or not at all, and close it."""
    try:
        with plt.rc_context(_RC):
            for path in paths:
                with whole_file(path) as temporary:
                    kind = Path(path).suffix[1:]
                    metadata = {"Date": None} if kind == "svg" else None
                    dpi = resolution(tuple(figure.get_size_inches()), look.dpi)
                    figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)
                figure.set_layout_engine("none")  # all files share the layout of the first
    finally:
        plt.close(figure)


def save_in_turn(figures: Iterable[Figure], out: Any, look: Look) -> None:
    """Save figures under the paths ``out.png`` and ``out.svg``, which stand in the same order."""
    for figure, png, svg in zip(figures, out.png, out.svg, strict=True):
        save_figure(figure, [png, svg], look)


def save_figures(figures: Iterable[tuple[str, Figure]], paths: Sequence[str | Path], look: Look) -> None:
    """Save named figures, each under the paths whose file has its name.

    Raises
    ------
    BabelscopeError
        Where a figure has no path, or a path no figure.
    """
    by_name: dict[str, list[str | Path]] = {}
    for path in paths:
        by_name.setdefault(Path(path).stem, []).append(path)
    for name, figure in figures:
        require(name in by_name, f"no file is asked for figure {name}, only for {', '.join(by_name)}")
        save_figure(figure, by_name.pop(name), look)
    require(not by_name, f"no figure was drawn for {', '.join(by_name)}")
