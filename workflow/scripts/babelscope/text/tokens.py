"""The documents of one language as tokens of one model, and their file ``tokens/{lang}.h5``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.study.errors import require

# The same number in two languages: translations of each other.
UNIT = DatasetSpec("int64", ("document",), "what a parallel document's id stands for", low=0, optional=True)
TOKENS = Kind(
    "tokens",
    "tokens/{lang}.h5",
    "tokenize_corpus",
    ("model", "language"),
    {
        "token_ids": DatasetSpec(
            "int32", ("token",), "token ids without special tokens", low=0, compressed=False
        ),
        "offsets": DatasetSpec("int64", ("document_edge",), "first token of each document", low=0),
        "heldout": DatasetSpec("bool", ("document",), "true: kept for evaluation"),
        "n_bytes": DatasetSpec("int32", ("document",), "UTF-8 bytes that the tokens stand for", low=1),
        "unit": UNIT,
    },
)
# Documents read from their file at a time.
_DIGEST_DOCUMENTS = 1000


class Documents(Protocol):
    """Documents as tokens: a ``TokenizedCorpus``, or a ``TokenFile`` that stays on disk."""

    @property
    def offsets(self) -> np.ndarray: ...

    @property
    def bos_token_id(self) -> int: ...

    @property
    def unit(self) -> np.ndarray | None: ...

    @property
    def profile_idx(self) -> np.ndarray: ...

    def take(self, document_idx: np.ndarray) -> TokenizedCorpus: ...


@dataclass(frozen=True)
class TokenizedCorpus:
    """The documents of one language as one model's tokens.

    Attributes
    ----------
    token_ids : int32 (n_tokens,)
        All documents one after the other, without special tokens.
    offsets : int64 (n_documents + 1,)
        Document ``i`` is ``token_ids[offsets[i]:offsets[i + 1]]``; no document is empty.
    heldout : bool (n_documents,)
        True: only for evaluation; False: profile document, recorded.
    n_bytes : int32 (n_documents,)
        UTF-8 bytes of the text that the document's tokens stand for.
    bos_token_id : int
        Put before every document when the model runs; -1 where the tokenizer has none.
    unit : int64 (n_documents,) or None
        Of a parallel corpus: documents of two languages with the same number are translations.
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    heldout: np.ndarray
    n_bytes: np.ndarray
    bos_token_id: int = -1
    unit: np.ndarray | None = None

    def __post_init__(self) -> None:
        n_documents = len(self.heldout)
        require(
            len(self.offsets) == n_documents + 1 and len(self.n_bytes) == n_documents,
            f"offsets ({len(self.offsets)}), heldout ({n_documents}) and n_bytes ({len(self.n_bytes)}) "
            "do not describe the same documents",
        )
        require(
            n_documents > 0 and self.offsets[0] == 0 and self.offsets[-1] == len(self.token_ids),
            "offsets do not cover the tokens from the first to the last",
        )
        require(bool((np.diff(self.offsets) > 0).all()), "a document without tokens")
        require(bool((self.token_ids >= 0).all()), "a negative token id")

    def document(self, idx: int) -> np.ndarray:
        """Token ids of one document, int32 (n,), without special tokens."""
        return self.token_ids[self.offsets[idx] : self.offsets[idx + 1]]

    def take(self, document_idx: np.ndarray) -> TokenizedCorpus:
        """Some documents, in the order given, as a corpus of their own; at least one."""
        pieces = [self.document(int(idx)) for idx in document_idx]
        return TokenizedCorpus(
            token_ids=np.concatenate(pieces),
            offsets=np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64),
            heldout=self.heldout[document_idx],
            n_bytes=self.n_bytes[document_idx],
            bos_token_id=self.bos_token_id,
            unit=None if self.unit is None else self.unit[document_idx],
        )

    @property
    def profile_idx(self) -> np.ndarray:
        """Indices of the profile documents, int64, in file order."""
        return np.flatnonzero(~self.heldout)

    @property
    def heldout_idx(self) -> np.ndarray:
        """Indices of the held-out documents, int64, in file order."""
        return np.flatnonzero(self.heldout)


def join_profiles(corpora: Sequence[TokenizedCorpus], n_documents: int) -> TokenizedCorpus:
    """The first profile documents of each corpus, in turn, as one corpus without held-out documents.

    Parameters
    ----------
    corpora : of one model, one or several languages.
    n_documents : documents to take from each; all where it has fewer.
    """
    taken = [c.take(c.profile_idx[:n_documents]) for c in corpora]
    return join_corpora(taken)


def documents_of_each(n_documents: int, corpora: Sequence[TokenizedCorpus]) -> int:
    """Of so many documents of several corpora together, those of each; at least one."""
    return max(1, n_documents // len(corpora))


def join_corpora(corpora: Sequence[TokenizedCorpus]) -> TokenizedCorpus:
    """All documents of several corpora of one model, in turn."""
    lengths = np.concatenate([np.diff(corpus.offsets) for corpus in corpora])
    return TokenizedCorpus(
        token_ids=np.concatenate([corpus.token_ids for corpus in corpora]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        heldout=np.concatenate([corpus.heldout for corpus in corpora]),
        n_bytes=np.concatenate([corpus.n_bytes for corpus in corpora]),
        bos_token_id=corpora[0].bos_token_id,
    )


def documents_digest(corpus: Documents, document_idx: np.ndarray) -> str:
    """SHA-256 of the tokens of some documents, in order, and of the BOS token put before each.

    The same for the same documents wherever they stand in a corpus.
    """
    digest = hashlib.sha256(f"bos {corpus.bos_token_id}".encode())
    for start in range(0, len(document_idx), _DIGEST_DOCUMENTS):
        part = corpus.take(document_idx[start : start + _DIGEST_DOCUMENTS])
        for idx in range(len(part.heldout)):
            tokens = part.document(idx)
            digest.update(f";{len(tokens)}:".encode())
            digest.update(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return digest.hexdigest()


def write_tokens(
    path: str | Path, corpus: TokenizedCorpus, model: str, language: str, max_tokens: int
) -> None:
    """Write ``tokens/{lang}.h5``."""
    datasets = {name: getattr(corpus, name) for name in TOKENS.datasets}
    datasets = {name: array for name, array in datasets.items() if array is not None}
    attrs = {"language": language, "max_tokens": max_tokens, "bos_token_id": corpus.bos_token_id}
    write_h5(path, TOKENS, datasets, model=model, **attrs)


def read_tokens(path: str | Path, model: str, language: str) -> TokenizedCorpus:
    """Read ``tokens/{lang}.h5`` of this model and language."""
    datasets, attrs = read_h5(path, TOKENS, model=model, language=language)
    return TokenizedCorpus(**datasets, bos_token_id=attrs["bos_token_id"])
