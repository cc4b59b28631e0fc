"""Counts by token: which experts each of a language's frequent tokens activates, and each position.

Any class of tokens is a sum of these: a script, digits, punctuation, starts of words, tokens that other
languages have, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.recording.counts import ActivationCounts
from babelscope.text.tokens import Documents

TOKEN_TYPES = Kind(
    "token_types",
    "types/{lang}.h5",
    "record_activations",
    ("model", "language", "experts_sha256", "documents_sha256"),
    {
        "token_id": DatasetSpec("int32", ("type",), "the token; -1: all others together", low=-1),
        "text": DatasetSpec("str", ("type",), "what it stands for, with the space before it"),
        "n_tokens": DatasetSpec("int64", ("type",), "how often it was recorded", low=0),
        "n_active": DatasetSpec("int64", ("type", "layer", "expert"), "times it activated the expert", low=0),
        "position": DatasetSpec("int64", ("position",), "first position of a range, from 0", low=0),
        "position_tokens": DatasetSpec("int64", ("position",), "tokens at these positions", low=0),
        "position_active": DatasetSpec(
            "int64", ("position", "layer", "expert"), "times they activated the expert", low=0
        ),
    },
)
# First positions of the ranges that are counted apart; 0 is the first token of a document.
POSITIONS = np.array([0, 1, 2, 4, 8, 16, 32, 64])


@dataclass
class TypeCounts:
    """Counts of a language by token and by position.

    Attributes
    ----------
    token_id : int32 (n_types,), -1 for the last row: all other tokens.
    n_tokens : int64 (n_types + n_positions,), rows of tokens before rows of positions.
    n_active : int64 (n_types + n_positions, n_layers, n_experts).
    """

    token_id: np.ndarray
    n_tokens: np.ndarray
    n_active: np.ndarray

    @classmethod
    def zeros(cls, token_id: np.ndarray, n_layers: int, n_experts: int) -> TypeCounts:
        """Nothing counted."""
        n = len(token_id) + len(POSITIONS)
        return cls(token_id, np.zeros(n, np.int64), np.zeros((n, n_layers, n_experts), np.int64))

    def add(self, n_tokens: np.ndarray, n_active: np.ndarray) -> None:
        """Add counts of the same rows, int64 (n,) and (n, n_layers * n_experts)."""
        self.n_tokens += n_tokens
        self.n_active += n_active.reshape(self.n_active.shape)


def frequent_tokens(corpus: Documents, document_idx: np.ndarray, n_most: int) -> np.ndarray:
    """The most frequent tokens of some documents, the lower id first where two are as frequent, and -1.

    Returns
    -------
    int32 (at most n_most + 1,), sorted but for the last.
    """
    ids, counts = np.unique(corpus.take(document_idx).token_ids, return_counts=True)
    chosen = np.sort(ids[np.lexsort((ids, -counts))[:n_most]])
    return np.append(chosen, -1).astype(np.int32)


@dataclass(frozen=True)
class TokenTypes:
    """Counts by token and by position, as they are in their file.

    Attributes
    ----------
    token_id : int32 (n_types,). text : their texts; of the last row, all other tokens, empty.
    counts : one row per token. positions : one row per range of positions. first : first position of each.
    """

    token_id: np.ndarray
    text: Sequence[str]
    counts: ActivationCounts
    positions: ActivationCounts
    first: np.ndarray


def write_types(path: str | Path, found: TypeCounts, text: Sequence[str], top_k: int, **said: Any) -> None:
    """Write ``types/{lang}.h5``."""
    n = len(found.token_id)
    datasets = {
        "token_id": found.token_id,
        "text": [*text, ""],
        "n_tokens": found.n_tokens[:n],
        "n_active": found.n_active[:n],
        "position": POSITIONS.astype(np.int64),
        "position_tokens": found.n_tokens[n:],
        "position_active": found.n_active[n:],
    }
    write_h5(path, TOKEN_TYPES, datasets, top_k=top_k, **said)


def read_token_types(path: str | Path, model: str, language: str) -> TokenTypes:
    """Read ``types/{lang}.h5`` of this model and language."""
    found, attrs = read_h5(path, TOKEN_TYPES, model=model, language=language)
    of_types = ActivationCounts(found["n_active"], found["n_tokens"], attrs["top_k"])
    of_positions = ActivationCounts(found["position_active"], found["position_tokens"], attrs["top_k"])
    return TokenTypes(found["token_id"], list(found["text"]), of_types, of_positions, found["position"])
