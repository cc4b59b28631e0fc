"""The matrix of languages and experts on parallel text: own and other experts on the same sentences.

A language's loss under other experts less that under its own still holds what the sentence says. Where the
same sentence is read in two languages, the sum of both differences is taken sentence by sentence, and
sentences are resampled: how hard a sentence is cancels, and what is left is whose experts read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.pruning.tables import MATRIX, read_languages_of
from babelscope.recording.parallel import find_translations, rows_of
from babelscope.statistics.ratios import mean_interval
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import read_tokens

PAIRED_COLUMNS = ("selection", "language_a", "language_b", "n_sentences", "advantage", "low", "high")
EVERY = "all pairs"


def paired_rows(
    results: Mapping[str, Mapping[str, Any]], units: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Advantage of own experts, nats per sentence and language, for every pair and over all of them.

    ``advantage`` is half of the sum of both languages' losses under each other's experts less their own;
    above zero own experts are better on the same content. Intervals: Student's t over sentences.

    Parameters
    ----------
    results : by language ``evaluate_under_experts``.
    units : by language those of the held-out documents that were read.

    Raises
    ------
    BabelscopeError
        Where fewer than two sentences are in all languages.
    """
    codes = list(results)
    common = find_translations(list(units.values())).common
    if len(common) < 2:
        raise BabelscopeError(
            f"{len(common)} held-out sentences are in all of {', '.join(codes)}, need two; raise "
            "corpus.heldout_documents or pruning.matrix_documents"
        )
    losses: dict[tuple[str, str, str], np.ndarray] = {}
    for code, result in results.items():
        rows = rows_of(units[code], common)
        for cell in result["cells"]:
            losses[cell["selection"], code, cell["experts_of"]] = np.asarray(cell["nll"])[rows]
    table = []
    for selection in dict.fromkeys(key[0] for key in losses):
        of_pairs = []
        for a, b in combinations(codes, 2):
            cells = [
                losses.get((selection, text, choice)) for text, choice in ((a, b), (b, a), (a, a), (b, b))
            ]
            if any(cell is None for cell in cells):
                continue
            others, own = cells[0] + cells[1], cells[2] + cells[3]  # type: ignore[operator]
            of_pairs.append((others - own) / 2)
            table.append(_row(selection, a, b, of_pairs[-1]))
        if of_pairs:
            table.append(_row(selection, EVERY, "", np.mean(of_pairs, axis=0)))
    return table


def read_paired(
    matrices: Sequence[str | Path], tokens: Sequence[str | Path], model: str, languages: Sequence[str]
) -> list[dict[str, Any]]:
    """``paired_rows`` of the files of a study, one of each kind per language.

    Raises
    ------
    BabelscopeError
        Where documents are not parallel.
    """
    units = {}
    for path, language in zip(tokens, languages, strict=True):
        corpus = read_tokens(path, model, language)
        if corpus.unit is None:
            raise BabelscopeError(f"{path}: documents are not parallel: set parallel of their source")
        units[language] = corpus.unit[corpus.heldout_idx]
    results = dict(zip(languages, read_languages_of(matrices, MATRIX, model, languages), strict=True))
    read = {language: units[language][: len(result["n_predicted"])] for language, result in results.items()}
    return paired_rows(results, read)


def _row(selection: str, a: str, b: str, advantage: np.ndarray) -> dict[str, Any]:
    mean, half = mean_interval(advantage)
    row = {"selection": selection, "language_a": a, "language_b": b, "n_sentences": len(advantage)}
    return {**row, "advantage": mean, "low": mean - half, "high": mean + half}
