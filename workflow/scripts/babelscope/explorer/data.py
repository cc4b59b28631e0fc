"""All that the explorer shows, as one JSON value; large arrays are base64 of little-endian numbers."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babelscope.comparison.frequency import read_frequency
from babelscope.comparison.measures import MEASURES, compare_layers
from babelscope.comparison.similarity import read_similarity
from babelscope.evidence.draws import read_frequency_intervals
from babelscope.evidence.expert_tables import tabulate_index, tabulate_specific
from babelscope.evidence.intervals import dendrogram_json, read_dendrograms
from babelscope.evidence.specificity import CLASSES, ExpertIndex, index_experts
from babelscope.evidence.trees import cluster_languages
from babelscope.experts.partition import Partition
from babelscope.experts.routed import RoutedExperts
from babelscope.files.tables import format_table
from babelscope.pruning.ablation import specific_neurons
from babelscope.pruning.ablation_table import ABLATION_COLUMNS, tabulate_ablations
from babelscope.pruning.routed_tables import ROUTED_COLUMNS, ROUTED_PRUNING, tabulate_routed
from babelscope.pruning.tables import ABLATION, PRUNING, pruning_columns, read_languages_of
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.neurons import read_neurons
from babelscope.recording.recordings import read_recordings
from babelscope.study.languages import Language

FORMAT_VERSION = 2
_RIGHT_TO_LEFT = {"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg"}
# of a control partition's frequencies in one layer
_QUANTILES = (0.025, 0.5, 0.975)
_INDEX = ("top_language", "next_language", "difference", "low", "high", "q_value", "n_languages_high")


@dataclass(frozen=True)
class Study:
    """The study that is shown.

    Attributes
    ----------
    model, languages : its name, and the languages in their order.
    partition : its experts.
    choice : of the experts that a pruned model keeps, with the threshold of a high frequency.
    n_most : most specific experts of a language that have a rank. seed : of intervals of ablations.
    """

    model: str
    languages: Sequence[Language]
    partition: Partition
    choice: Mapping[str, Any]
    n_most: int
    seed: int

    @property
    def codes(self) -> list[str]:
        """Codes of the languages."""
        return [row.code for row in self.languages]


def gather(study: Study, files: Any, controls: Sequence[str]) -> dict[str, Any]:
    """What the page shows but contexts.

    Parameters
    ----------
    files : paths by name, as the rule's inputs; ``ablation`` may be empty, and where experts are routed
        ``neurons`` and ``pruning`` are. controls : inputs of that name.

    Raises
    ------
    BabelscopeError
        Where a file is wrong, or of another model or other languages.
    """
    codes = study.codes
    frequency, _ = read_frequency(files.frequency, study.model, codes)
    low, high, _ = read_frequency_intervals(files.intervals, study.model, codes)
    counts = read_recordings(files.activations, study.model, codes)
    n_tokens = np.array([count.n_tokens.sum() for count in counts])
    others = {name: read_recordings(files[name], study.model, codes, name) for name in controls}
    index = index_experts(counts, study.languages, study.choice["threshold"])
    routed = isinstance(study.partition, RoutedExperts)
    return {
        "version": FORMAT_VERSION,
        "model": study.model,
        "threshold": study.choice["threshold"],
        "routed": routed,
        "layers": counts[0].layers.tolist(),
        "experts": study.partition.n_experts,
        "languages": [_language(row, n) for row, n in zip(study.languages, n_tokens, strict=True)],
        "frequency": pack(frequency, "<f4"),
        "low": pack(low, "<f4"),
        "high": pack(high, "<f4"),
        "controls": {name: pack(control_ranges(other), "<f4") for name, other in others.items()},
        "index": _index(index, codes),
        "specific": _specific(index, study),
        "similarity": similarity(frequency, n_tokens, files, study),
        **(of_routers(counts, files.get("ablation"), study) if routed else of_neurons(files, study)),
    }


def of_neurons(files: Any, study: Study) -> dict[str, Any]:
    """What there is where experts are groups of neurons: which, and what it costs to cut them."""
    labels = study.partition.labels
    pruning = read_languages_of(files.pruning, PRUNING, study.model, study.codes, **study.choice)
    return {
        "neurons": labels.shape[1],
        "labels": pack(labels, "<u4" if study.partition.n_experts > 65_535 else "<u2"),
        "leading": pack(leading_languages(files.neurons, study.model, study.codes), "<u2"),
        "pruning": _as_in_a_table(pruning, pruning_columns(pruning)),
        **_ablation(files, study),
    }


def of_routers(
    counts: Sequence[ActivationCounts], removed: Sequence[str] | None, study: Study
) -> dict[str, Any]:
    """What there is where experts are routed: how many each layer has, their weights, what their loss costs.

    Parameters
    ----------
    removed : ``routed_pruning/{lang}.json`` of every language, where they were measured.
    """
    with np.errstate(invalid="ignore"):  # an expert that is never chosen has no weight
        weights = [np.asarray(c.gate_weight).sum(axis=0) / c.n_active.sum(axis=0) for c in counts]
    found: dict[str, Any] = {
        "sizes": [n for n in counts[0].n_experts_by_layer if n],
        "weight": pack(np.stack(weights), "<f4"),
        "removed": {},
        "removal": [],
    }
    if removed:
        results = read_languages_of(removed, ROUTED_PRUNING, study.model, study.codes)
        cells = [cell for cell in results[0]["cells"] if cell["selection"] == "removed"]
        found["removed"] = {cell["experts_of"]: cell["removed"] for cell in cells}
        rows = [row for row in tabulate_routed(results) if row["selection"] == "removed"]
        found["removal"] = _as_in_a_table(rows, ROUTED_COLUMNS)
    return found


def pack(array: np.ndarray, dtype: str) -> str:
    """Base64 of an array's numbers in C order."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode("ascii")


def control_ranges(counts: Sequence[ActivationCounts]) -> np.ndarray:
    """2.5 %, 50 % and 97.5 % quantiles of a partition's frequencies, float64 (n_languages, n_layers, 3)."""
    frequency = np.stack([count.frequency for count in counts])
    return np.moveaxis(np.quantile(frequency, _QUANTILES, axis=2), 0, -1)


def leading_languages(paths: Sequence[str], model: str, codes: Sequence[str]) -> np.ndarray:
    """For every neuron which language's text makes its gate positive most often, and how often.

    Returns
    -------
    uint16 (3, n_layers, d_ff): number of the language, its probability and the next language's in steps of
    1/255.
    """
    best = second = which = np.zeros(0)
    for number, (path, code) in enumerate(zip(paths, codes, strict=True)):
        own = read_neurons(path, model=model, language=code).probability
        if number == 0:
            best, second, which = own, np.zeros_like(own), np.zeros(own.shape)
            continue
        above = own > best
        second = np.where(above, best, np.maximum(second, own))
        which = np.where(above, number, which)
        best = np.maximum(best, own)
    steps = [np.round(255 * share) for share in (best, second)]
    return np.stack([which, *steps]).astype(np.uint16)


def similarity(
    frequency: np.ndarray, n_tokens: np.ndarray, files: Any, study: Study
) -> dict[str, dict[str, Any]]:
    """By measure: the matrix of all layers and that of each, with their trees.

    The tree of all layers is that of the evidence, of distances corrected for noise; those of single layers
    are of distances as they are.
    """
    matrices = read_similarity(files.similarity, study.model, study.codes)[0]
    trees = read_dendrograms(files.trees, study.model, study.codes)
    layers = compare_layers(frequency, n_tokens)
    found = {}
    for name, measure in MEASURES.items():
        by_layer = [measure.total(layers.by_measure[name][n : n + 1]) for n in range(frequency.shape[1])]
        grown = [cluster_languages(measure.distance(one)) for one in by_layer]
        found[name] = {
            "title": measure.title,
            "unit": measure.unit,
            "near": "small" if measure.small_is_similar else "large",
            "total": _rounded(matrices[name]),
            "tree": _tree(trees[name]),
            "layers": [_rounded(one) for one in by_layer],
            "trees": [_tree(dendrogram_json(tree, study.codes)) for tree in grown],
        }
    return found


def _tree(entry: Mapping[str, Any]) -> dict[str, Any]:
    joins = [[int(a), int(b), float(f"{height:.5g}")] for a, b, height, _ in entry["linkage"]]
    support = [None if share is None else round(share, 3) for share in entry["support"]]
    return {"joins": joins, "order": list(entry["order"]), "support": support}


def _rounded(matrix: np.ndarray) -> list[list[float]]:
    return [[float(f"{value:.6g}") for value in row] for row in matrix]


def _language(row: Language, n_tokens: int) -> dict[str, Any]:
    direction = "rtl" if row.script in _RIGHT_TO_LEFT else "ltr"
    facts = {"code": row.code, "name": row.name, "family": row.family, "script": row.script}
    return facts | {"direction": direction, "tokens": int(n_tokens)}


def _index(index: ExpertIndex, codes: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of ``evidence/experts.csv``, one value per expert of all layers, in order."""
    rows = _as_in_a_table(tabulate_index(index, codes), _INDEX)
    columns: dict[str, list[Any]] = {
        name: [codes.index(row[name]) for row in rows]
        if name.endswith("language")
        else [float(row[name]) if row[name] else None for row in rows]
        for name in _INDEX
    }
    kinds: dict[str, list[Any]] = {
        "class": [CLASSES.index(kind) for kind in index.kind],
        "group": list(index.group),
    }
    return columns | kinds | {"classes": list(CLASSES)}


def _specific(index: ExpertIndex, study: Study) -> list[list[Any]]:
    """Language, rank, layer and expert of the rows of ``evidence/specific_experts.csv``."""
    rows = tabulate_specific(index, study.codes, study.n_most)
    return [[row[name] for name in ("language", "rank", "layer", "expert")] for row in rows]


def _ablation(files: Any, study: Study) -> dict[str, Any]:
    """Rows of ``ablation.csv`` where ablations were measured, and which neurons were removed.

    ``own_neurons``: uint8 (n_layers, d_ff), 1 + number of the language with whose specific neurons each was
    removed, or 0. (The experts are those of class specific.)
    """
    if not files.get("ablation"):
        return {"ablation": []}
    pairs = zip(files.neurons, study.codes, strict=True)
    statistics = {code: read_neurons(path, model=study.model, language=code) for path, code in pairs}
    own = sum((1 + n) * mask for n, mask in enumerate(specific_neurons(statistics).values()))
    results = read_languages_of(files.ablation, ABLATION, study.model, study.codes)
    named = dict(zip(study.codes, results, strict=True))
    rows = _as_in_a_table(tabulate_ablations(named, study.seed), ABLATION_COLUMNS)
    return {"ablation": rows, "own_neurons": pack(np.asarray(own), "u1")}


def _as_in_a_table(rows: Sequence[Any], columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows with the texts that stand in their table for people."""
    return list(csv.DictReader(io.StringIO(format_table(rows, columns))))


def group_contexts(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Contexts of all languages by unit, short for the page.

    Parameters
    ----------
    rows : of ``contexts/{lang}.jsonl`` by language.

    Returns
    -------
    By unit ``chosen`` and, by language, lists of ``[random, score, document, position, left, token, right]``;
    ``random`` is 1 or 0, texts are missing where the files have none.
    """
    units: dict[str, Any] = {}
    for code, own in rows.items():
        for row in own:
            unit = units.setdefault(row["unit"], {"chosen": row["chosen"], "by": {}})
            texts = [row[name] for name in ("left", "token", "right") if name in row]
            entry = [int(row["sample"] != "top"), row["score"], row["document"], row["position"], *texts]
            unit["by"].setdefault(code, []).append(entry)
    return units
