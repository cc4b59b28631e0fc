"""Frozen containers of the study's data, numpy only.

They check what they are given, so that a container that exists is one that makes sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from babelscope.errors import BabelscopeError


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise BabelscopeError(message)


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
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    heldout: np.ndarray
    n_bytes: np.ndarray
    bos_token_id: int = -1

    def __post_init__(self) -> None:
        n_documents = len(self.heldout)
        _require(
            len(self.offsets) == n_documents + 1 and len(self.n_bytes) == n_documents,
            f"offsets ({len(self.offsets)}), heldout ({n_documents}) and n_bytes ({len(self.n_bytes)}) "
            "do not describe the same documents",
        )
        _require(
            n_documents > 0 and self.offsets[0] == 0 and self.offsets[-1] == len(self.token_ids),
            "offsets do not cover the tokens from the first to the last",
        )
        _require(bool((np.diff(self.offsets) > 0).all()), "a document without tokens")
        _require(bool((self.token_ids >= 0).all()), "a negative token id")

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
    taken = [(c, c.profile_idx[:n_documents]) for c in corpora]
    pieces = [c.document(idx) for c, chosen in taken for idx in chosen]
    lengths = [len(piece) for piece in pieces]
    return TokenizedCorpus(
        token_ids=np.concatenate(pieces),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        heldout=np.zeros(len(pieces), dtype=bool),
        n_bytes=np.concatenate([c.n_bytes[chosen] for c, chosen in taken]),
        bos_token_id=corpora[0].bos_token_id,
    )


@dataclass(frozen=True)
class ExpertPartition:
    """Which expert each neuron belongs to.

    Attributes
    ----------
    labels : int32 (n_layers, d_ff)
        Values in ``[0, n_experts)``; in every layer the sizes of the experts differ by at most one.
    n_experts : int
        Experts per layer.
    """

    labels: np.ndarray
    n_experts: int

    def __post_init__(self) -> None:
        _require(self.labels.ndim == 2, f"labels have shape {self.labels.shape}, need (n_layers, d_ff)")
        d_ff = self.labels.shape[1]
        _require(
            0 < self.n_experts <= d_ff, f"{self.n_experts} experts cannot be made of {d_ff} neurons a layer"
        )
        _require(
            bool((self.labels >= 0).all() and (self.labels < self.n_experts).all()),
            f"an expert label outside 0 to {self.n_experts - 1}",
        )
        sizes = self.sizes
        _require(
            int(sizes.max()) - int(sizes.min()) <= 1,
            f"experts of {sizes.min()} to {sizes.max()} neurons in one partition: not balanced",
        )

    @property
    def n_layers(self) -> int:
        return self.labels.shape[0]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Neurons of every expert, int64 (n_layers, n_experts)."""
        return np.stack([np.bincount(row, minlength=self.n_experts) for row in self.labels])


@dataclass(frozen=True)
class ActivationCounts:
    """How often each expert was active for the tokens of one language.

    Attributes
    ----------
    n_active : int64 (n_blocks, n_layers, n_experts)
        Tokens of the block for which the expert was active.
    n_tokens : int64 (n_blocks,)
        Tokens of the block; a block is a group of whole documents.
    top_k : int
        Experts active for each token, over all layers.

    Raises
    ------
    BabelscopeError
        Where ``n_active.sum() == top_k * n_tokens`` fails in a block.
    """

    n_active: np.ndarray
    n_tokens: np.ndarray
    top_k: int

    def __post_init__(self) -> None:
        _require(
            self.n_active.ndim == 3 and self.n_active.shape[0] == len(self.n_tokens),
            f"counts of shape {self.n_active.shape} for {len(self.n_tokens)} blocks",
        )
        per_block = self.n_active.sum(axis=(1, 2))
        wrong = np.flatnonzero(per_block != self.top_k * self.n_tokens)
        _require(
            len(wrong) == 0,
            f"blocks {wrong[:5].tolist()} do not hold top_k ({self.top_k}) active experts for each token",
        )

    @property
    def frequency(self) -> np.ndarray:
        """``n_active / n_tokens`` over all blocks, float64 (n_layers, n_experts), in [0, 1]."""
        total = int(self.n_tokens.sum())
        _require(total > 0, "no token was recorded")
        return self.n_active.sum(axis=0) / total


def count_top_k(top_fraction: float, n_layers: int, n_experts: int) -> int:
    """``top_k = round(top_fraction * n_layers * n_experts)`` (DESIGN: 800 of 32 x 256 for Llama 2 7B).

    Raises
    ------
    BabelscopeError
        Where no expert, or more than all, would be active.
    """
    top_k = round(top_fraction * n_layers * n_experts)
    _require(
        1 <= top_k <= n_layers * n_experts,
        f"top_fraction {top_fraction} makes {top_k} active experts of {n_layers * n_experts}: "
        "at least one and at most all are allowed",
    )
    return top_k
