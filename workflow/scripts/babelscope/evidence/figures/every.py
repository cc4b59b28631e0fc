"""All figures of one model's evidence, drawn from its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.families import FamilyTest, read_family_tests
from babelscope.evidence.figures.experts import plot_experts, plot_layers, plot_robustness
from babelscope.evidence.figures.families import (
    plot_dendrogram,
    plot_distances,
    plot_family_tests,
    plot_learning_curve,
)
from babelscope.evidence.intervals import read_dendrogram, read_dendrograms
from babelscope.evidence.layers import LayerRow
from babelscope.evidence.replicates import corrected_distances, read_replicates
from babelscope.figures.style import Look
from babelscope.files.tables import read_table
from babelscope.study.languages import Language

Table = Sequence[Mapping[str, str]]
TABLES = ("pairs", "noise", "curve", "layers", "experts", "claims", "robustness")
_TEXTS = frozenset({"measure", "language", "language_a", "language_b", "statistic"})


def evidence_figures(
    tables: Mapping[str, Table],
    distances: Mapping[str, np.ndarray],
    tests: Sequence[FamilyTest],
    trees: Mapping[str, Any],
    languages: Sequence[Language],
    model: str,
    look: Look,
) -> Iterator[tuple[str, Figure]]:
    """Every figure with its name.

    Parameters
    ----------
    tables : rows as read from CSV: ``pairs``, ``noise``, ``curve``, ``layers``, ``experts``, ``claims``,
        ``robustness``.
    distances : by measure, corrected for noise, float64 (n, n). tests : of families.
    trees : ``dendrogram_json`` by measure.
    languages : in the study's order.

    Yields
    ------
    ``evidence_`` with ``dendrogram_{measure}``, ``distances_{measure}``, ``learning_curve``, ``families``,
    ``layers``, ``experts`` or ``robustness``, and the figure.
    """
    codes = [row.code for row in languages]
    noise = {row["language"]: row for row in tables["noise"]}
    pairs = [_numbers(row) for row in tables["pairs"]]
    for measure in MEASURES:
        floor = np.array([float(noise[code][f"floor_{measure}"]) for code in codes])
        tree = read_dendrogram(trees[measure])
        figure = plot_dendrogram(tree, distances[measure], floor, languages, measure, model, look)
        yield f"evidence_dendrogram_{measure}", figure
        own = [row for row in pairs if row["measure"] == measure]
        yield f"evidence_distances_{measure}", plot_distances(own, languages, measure, model)
    euclidean = distances["euclidean"] + np.diag(np.full(len(codes), np.inf))
    nearest = dict(zip(codes, euclidean.min(axis=1).tolist(), strict=True))
    curve = [_numbers(row) for row in tables["curve"]]
    yield "evidence_learning_curve", plot_learning_curve(curve, nearest, languages, model)
    yield "evidence_families", plot_family_tests(tests, model)
    layers = [LayerRow(**{**_numbers(row), "layer": int(row["layer"])}) for row in tables["layers"]]
    yield "evidence_layers", plot_layers(layers, languages, model)
    experts = tables["experts"]
    layer = np.array([int(row["layer"]) for row in experts])
    kind, group = ([row[name] for row in experts] for name in ("class", "group"))
    yield "evidence_experts", plot_experts(layer, kind, group, languages, model, look)
    yield "evidence_robustness", plot_robustness(tables["robustness"], tables["claims"], model)


def read_evidence(
    paths: Any, model: str, codes: Sequence[str]
) -> tuple[dict[str, Table], dict[str, np.ndarray], list[FamilyTest], Any]:
    """First four arguments of ``evidence_figures``, from the files of a study."""
    tables: dict[str, Table] = {name: read_table(getattr(paths, name)) for name in TABLES}
    distances = corrected_distances(read_replicates(paths.replicates, model, codes))
    return (
        tables,
        distances,
        read_family_tests(paths.tests, model),
        read_dendrograms(paths.trees, model, codes),
    )


def _numbers(row: Mapping[str, str]) -> dict[str, Any]:
    """A row with its numbers as float; empty cells become NaN."""
    return {name: text if name in _TEXTS else float(text or "nan") for name, text in row.items()}
