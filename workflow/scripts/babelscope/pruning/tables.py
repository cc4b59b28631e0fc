"""The tables of pruning: one row per language (paper, Table 4), the cross-language matrix, the frontier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.kind import Kind, language_record, study_record
from babelscope.files.record import read_record, write_record
from babelscope.pruning.losses import DocumentLosses

_DOCUMENTS = "one value per held-out document"
PRUNING = Kind(
    "pruning",
    "pruning/{lang}.json",
    "evaluate_pruning",
    ("model", "language", "method", "threshold", "share"),
    fields={
        "model": "name of the model",
        "language": "code of the language of the text",
        "method": "how experts were chosen, with threshold or share",
        "…": "as pruning.csv",
    },
)
MATRIX = language_record(
    "pruning_matrix",
    "pruning_matrix/{lang}.json",
    "evaluate_matrix",
    n_predicted=_DOCUMENTS,
    n_bytes=_DOCUMENTS,
    cells="by whose experts and selection: nll, one value per held-out document",
)
FRONTIER = language_record(
    "pruning_frontier",
    "pruning_frontier/{lang}.json",
    "trace_frontier",
    rows="one per method and share, as pruning_frontier.csv",
)

COLUMNS = (
    "language",
    "proportion_high",
    "nll_dense",
    "nll_pruned",
    "perplexity_dense",
    "perplexity_pruned",
    "bits_per_byte_dense",
    "bits_per_byte_pruned",
    "ffn_parameters_kept",
    "parameters_kept",
)
MATRIX_COLUMNS = (
    "language",
    "experts_of",
    "selection",
    "proportion_kept",
    "nll",
    "bits_per_byte",
    "difference_bits_per_byte",
    "low",
    "high",
    "low_simultaneous",
    "high_simultaneous",
    "nll_standard_error",
    "n_predicted",
)
FRONTIER_COLUMNS = (
    "language",
    "method",
    "share",
    "ffn_parameters_kept",
    "nll",
    "nll_standard_error",
    "n_predicted",
    "draw",
    "empty_layers",
)
N_RESAMPLES = 2000
ABLATION_UNITS = study_record(
    "ablation_units",
    "ablation/units.json",
    "choose_ablations",
    rows="one per set of units: neurons of each layer",
)
ABLATION = language_record(
    "ablation",
    "ablation/{lang}.json",
    "evaluate_ablations",
    cells="losses of held-out documents without each set of units; dense: with all",
)
EXPERT_CLASSES = Kind(
    "expert_classes",
    "evidence/experts.json",
    "index_experts",
    ("model", "languages", "threshold"),
    fields={
        "model": "name of the model",
        "languages": "codes",
        "threshold": "frequency from which an expert is high-frequency",
        "layer": "of each expert",
        "expert": "its number in the layer",
        "class": "as in experts.csv",
        "group": "as in experts.csv: a language, genus or family",
    },
)
SPEED = study_record(
    "pruning_speed",
    "pruning_speed.json",
    "measure_pruning_speed",
    rows="those of pruning_speed.csv, in full precision",
)
SELECTORS_TEST = language_record(
    "selectors",
    "selectors/{lang}.json",
    "evaluate_selectors",
    cells="one per variant of the language's selected units: its selector and size, and nll like dense",
    dense="by language of the text one value per held-out document, as n_predicted and n_bytes",
)


def write_pruning(path: str | Path, row: Mapping[str, Any], model: str, language: str, **choice: Any) -> None:
    """Write ``pruning/{lang}.json``: a row of ``pruning.csv``, and how its experts were chosen."""
    write_record(path, PRUNING, row, language=language, model=model, **choice)


def read_languages_of(
    paths: Iterable[str | Path], kind: Kind, model: str, languages: Iterable[str], **asked: Any
) -> list[dict[str, Any]]:
    """Records of several languages, one file each, in their order; each must be of its language.

    Raises
    ------
    BabelscopeError
        As ``read_record``.
    """
    pairs = zip(paths, languages, strict=True)
    return [read_record(path, kind, model=model, language=code, **asked) for path, code in pairs]


def read_speed(path: str | Path, model: str, languages: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of ``pruning_speed.json`` of this model and this study's languages."""
    found: list[dict[str, Any]] = read_record(path, SPEED, model=model, languages=list(languages))["rows"]
    return found


def rows_of(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of several languages' records in one list, each with its ``language``."""
    return [{"language": one["language"], **row} for one in records for row in one["rows"]]


def pruning_columns(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns of ``pruning.csv``: the contract's, and behind them whatever else was measured."""
    extra = [
        name
        for name, value in results[0].items()
        if name not in COLUMNS and name != "model" and isinstance(value, (int, float, type(None)))
    ]
    return [*COLUMNS, *extra]


def matrix_rows(language: str, result: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """The rows of ``pruning_matrix.csv`` for one language of text.

    ``difference_bits_per_byte`` is the loss under other experts less that under the language's own of the
    same selection, with a 95 % interval from resampled documents (paired: both losses of a document go
    together); above 0 its own experts are better.
    """
    n_predicted, n_bytes = np.asarray(result["n_predicted"]), np.asarray(result["n_bytes"])
    own = {c["selection"]: np.asarray(c["nll"]) for c in result["cells"] if c["experts_of"] == language}
    draws = np.random.default_rng(seed).integers(len(n_bytes), size=(N_RESAMPLES, len(n_bytes)))
    bits = np.log(2) * n_bytes[draws].sum(axis=1)
    rows = []
    replicates: dict[str, list[tuple[dict[str, Any], np.ndarray]]] = {}
    for cell in result["cells"]:
        losses = DocumentLosses(np.asarray(cell["nll"]), n_predicted, n_bytes)
        nll = losses.nll
        row: dict[str, Any] = {
            "language": language,
            "experts_of": cell["experts_of"],
            "selection": cell["selection"],
            "proportion_kept": cell["proportion_kept"],
            "nll": losses.mean_nll,
            "bits_per_byte": losses.bits_per_byte,
            "difference_bits_per_byte": None,
            "low": None,
            "high": None,
            "low_simultaneous": None,
            "high_simultaneous": None,
            "nll_standard_error": losses.standard_error,
            "n_predicted": int(n_predicted.sum()),
        }
        if cell["selection"] in own and cell["experts_of"] != language:
            difference = nll - own[cell["selection"]]
            resampled = difference[draws].sum(axis=1) / bits
            low, high = np.quantile(resampled, [0.025, 0.975])
            replicates.setdefault(cell["selection"], []).append((row, resampled))
            row["difference_bits_per_byte"] = difference.sum() / (np.log(2) * n_bytes.sum())
            row["low"], row["high"] = low, high
        rows.append(row)
    for found in replicates.values():
        _add_simultaneous(found, len(n_bytes))
    return rows


def _add_simultaneous(found: Sequence[tuple[dict[str, Any], np.ndarray]], n_documents: int) -> None:
    """Intervals that all hold at once, into the rows of one text and selection.

    The quantile of the resampled deviations is that of a normal distribution; with few documents it is
    widened as Student's t is.
    """
    differences = np.array([resampled for _, resampled in found])  # (language of the experts, replicate)
    error = differences.std(axis=1, ddof=1)
    scale = np.where(error > 0, error, 1.0)[:, None]
    largest = (np.abs(differences - differences.mean(axis=1, keepdims=True)) / scale).max(axis=0)
    normal = np.quantile(largest, 0.95)
    freedom = max(n_documents - 1, 1)
    from scipy.stats import norm  # not where a model runs: see study.job
    from scipy.stats import t as student_t

    wider = student_t.isf(norm.sf(normal), freedom) * np.sqrt(n_documents / freedom)
    halves = wider * error
    for (row, _), half in zip(found, halves, strict=True):
        row["low_simultaneous"] = row["difference_bits_per_byte"] - half
        row["high_simultaneous"] = row["difference_bits_per_byte"] + half


def excess_matrix(
    rows: Sequence[Mapping[str, Any]], selection: str
) -> tuple[np.ndarray, list[str], list[str]]:
    """Bits per byte above the dense model, for one selection.

    Returns
    -------
    float64 (n_texts, n_choices), the languages of the text, whose experts are kept.
    """
    dense = {row["language"]: row["bits_per_byte"] for row in rows if row["selection"] == "dense"}
    chosen = [row for row in rows if row["selection"] == selection]
    names = list(dict.fromkeys(row["experts_of"] for row in chosen))
    table = {(row["language"], row["experts_of"]): row["bits_per_byte"] for row in chosen}
    matrix = [[table[text, name] - dense[text] for name in names] for text in dense]
    return np.array(matrix), list(dense), names
