"""All figures of one model's evidence, drawn from its sealed records."""

from __future__ import annotations

import math
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
from babelscope.evidence.intervals import INTERVALS, read_dendrogram, read_dendrograms
from babelscope.evidence.layers import LayerRow
from babelscope.evidence.replicates import corrected_distances, read_replicates
from babelscope.evidence.robustness import VERDICTS
from babelscope.figures.style import Look
from babelscope.files.record import read_record
from babelscope.pruning.tables import EXPERT_CLASSES
from babelscope.study.languages import Language

Table = Sequence[Mapping[str, Any]]


def evidence_figures(
    tables: Mapping[str, Table],
    experts: Mapping[str, Sequence[Any]],
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
    tables : rows ``pairs``, ``noise``, ``curve`` and ``layers`` of the intervals, ``claims`` and
        ``robustness`` of the verdicts.
    experts : columns ``layer``, ``class`` and ``group``, one entry per expert.
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
    for measure in MEASURES:
        floor = np.array([noise[code][f"floor_{measure}"] for code in codes])
        tree = read_dendrogram(trees[measure])
        figure = plot_dendrogram(tree, distances[measure], floor, languages, measure, model, look)
        yield f"evidence_dendrogram_{measure}", figure
        own = [row for row in tables["pairs"] if row["measure"] == measure]
        yield f"evidence_distances_{measure}", plot_distances(own, languages, measure, model)
    euclidean = distances["euclidean"] + np.diag(np.full(len(codes), np.inf))
    nearest = dict(zip(codes, euclidean.min(axis=1).tolist(), strict=True))
    yield "evidence_learning_curve", plot_learning_curve(tables["curve"], nearest, languages, model)
    yield "evidence_families", plot_family_tests(tests, model)
    layers = [LayerRow(**row) for row in tables["layers"]]
    yield "evidence_layers", plot_layers(layers, languages, model)
    layer = np.array(experts["layer"])
    figure = plot_experts(layer, experts["class"], experts["group"], languages, model, look)
    yield "evidence_experts", figure
    yield "evidence_robustness", plot_robustness(tables["robustness"], tables["claims"], model)


def read_evidence(
    paths: Any, model: str, codes: Sequence[str], threshold: float
) -> tuple[dict[str, Table], dict[str, Any], dict[str, np.ndarray], list[FamilyTest], Any]:
    """First five arguments of ``evidence_figures``, from the files of a study.

    Raises
    ------
    BabelscopeError
        Where a file is damaged, or of another model, other languages or another threshold.
    """
    asked = {"model": model, "languages": list(codes)}
    tables = read_record(paths.intervals, INTERVALS, **asked) | read_record(paths.verdicts, VERDICTS, **asked)
    for name in ("pairs", "noise", "curve", "layers"):
        tables[name] = [_numbers(row) for row in tables[name]]
    return (
        tables,
        read_record(paths.experts, EXPERT_CLASSES, **asked, threshold=threshold),
        corrected_distances(read_replicates(paths.replicates, model, codes)),
        read_family_tests(paths.tests, model, codes),
        read_dendrograms(paths.trees, model, codes),
    )


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose missing numbers are NaN, as figures leave them out."""
    return {name: math.nan if value is None else value for name, value in row.items()}
