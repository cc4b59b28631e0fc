"""One language's loss under every language's experts: the causal test that experts are a language's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babelscope.containers import ExpertPartition, TokenizedCorpus
from babelscope.evaluation import evaluate_documents
from babelscope.model_info import ModelInfo
from babelscope.models import find_ffn_layers, load_model
from babelscope.progress import progress
from babelscope.pruning import kept_neurons, prune, restored

COLUMNS = (
    "language",
    "experts_of",
    "selection",
    "proportion_kept",
    "nll",
    "bits_per_byte",
    "difference_bits_per_byte",
    "low",
    "high",
    "n_predicted",
)
N_RESAMPLES = 2000


def evaluate_under_experts(
    info: ModelInfo,
    compute: Mapping[str, Any],
    corpus: TokenizedCorpus,
    partition: ExpertPartition,
    choices: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Held-out losses of one language under several choices of experts, plain removal.

    Parameters
    ----------
    info, compute : the prepared model, and keyword arguments of ``load_model`` with ``tokens_per_batch``.
    corpus : documents of the language.
    partition : experts of the model.
    choices : by selection (``threshold``, ``same_size``) and name of the language or union whose experts are
        kept, bool (n_layers, n_experts).

    Returns
    -------
    ``n_predicted`` and ``n_bytes`` of each document, ``cells`` with ``selection``, ``experts_of``,
    ``proportion_kept`` and ``nll``, total nats of each document; the dense model is selection ``dense``.
    """
    options = dict(compute)
    tokens_per_batch = options.pop("tokens_per_batch")
    model = load_model(info, **options)
    layers = find_ffn_layers(model, info.family)
    heldout = corpus.heldout_idx
    n_real = int((np.diff(corpus.offsets)[heldout] + int(corpus.bos_token_id >= 0)).sum())
    cells = [("dense", "", np.ones((partition.n_layers, partition.n_experts), dtype=bool))]
    cells += [(sel, name, keep) for sel, table in choices.items() for name, keep in table.items()]
    result: dict[str, Any] = {"cells": []}
    with progress(n_real * len(cells), "tokens", "evaluating") as bar:
        for selection, name, keep in cells:
            with restored(layers):
                prune(layers, kept_neurons(keep, partition))
                losses = evaluate_documents(model, corpus, heldout, tokens_per_batch, bar.update)
            result["n_predicted"] = losses.n_predicted.tolist()
            result["n_bytes"] = losses.n_bytes.tolist()
            cell = {"selection": selection, "experts_of": name, "proportion_kept": float(keep.mean())}
            result["cells"].append(cell | {"nll": losses.nll.tolist()})
    return result


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
    for cell in result["cells"]:
        nll = np.asarray(cell["nll"])
        row: dict[str, Any] = {
            "language": language,
            "experts_of": cell["experts_of"],
            "selection": cell["selection"],
            "proportion_kept": cell["proportion_kept"],
            "nll": nll.sum() / n_predicted.sum(),
            "bits_per_byte": nll.sum() / (np.log(2) * n_bytes.sum()),
            "difference_bits_per_byte": None,
            "low": None,
            "high": None,
            "n_predicted": int(n_predicted.sum()),
        }
        if cell["selection"] in own and cell["experts_of"] != language:
            difference = nll - own[cell["selection"]]
            low, high = np.quantile(difference[draws].sum(axis=1) / bits, [0.025, 0.975])
            row["difference_bits_per_byte"] = difference.sum() / (np.log(2) * n_bytes.sum())
            row["low"], row["high"] = low, high
        rows.append(row)
    return rows


def matrix_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV text, one line a row."""
    lines = [",".join(_cell(row[name]) for name in COLUMNS) for row in rows]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


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


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
