"""Held-out losses of documents, and their summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.statistics.ratios import ratio_with_error
from babelscope.text.tokens import TokenizedCorpus


@dataclass(frozen=True)
class DocumentLosses:
    """Losses of some documents.

    Attributes
    ----------
    nll : float64 (n_documents,), total negative log-likelihood of each document, nats.
    n_predicted : int64 (n_documents,), predicted tokens.
    n_bytes : int64 (n_documents,), UTF-8 bytes of the predicted tokens' text.
    """

    nll: np.ndarray
    n_predicted: np.ndarray
    n_bytes: np.ndarray

    @property
    def mean_nll(self) -> float:
        """Nats per predicted token."""
        return float(self.nll.sum() / self.n_predicted.sum())

    @property
    def perplexity(self) -> float:
        """``exp(NLL)``; infinite where that exceeds float64."""
        return float(np.exp(np.minimum(self.mean_nll, 709.0)))

    @property
    def bits_per_byte(self) -> float:
        """Total NLL / (ln 2 x UTF-8 bytes predicted)."""
        return float(self.nll.sum() / (np.log(2) * self.n_bytes.sum()))

    def first(self, n_documents: int) -> DocumentLosses:
        """The first of the documents."""
        return DocumentLosses(
            *(values[:n_documents] for values in (self.nll, self.n_predicted, self.n_bytes))
        )

    @property
    def standard_error(self) -> float:
        """Standard error of ``mean_nll`` over documents (ratio estimator), nats per token."""
        n = len(self.nll)
        if n < 2:
            return float("nan")
        residual = self.nll - self.mean_nll * self.n_predicted
        return float(np.sqrt(n / (n - 1) * np.sum(residual**2)) / self.n_predicted.sum())

    def rise_over(self, other: DocumentLosses) -> tuple[float, float]:
        """Mean loss less that of another model on the same documents, and its standard error, nats per token.

        Documents are the sampling unit, and each is its own control.
        """
        return ratio_with_error(self.nll - other.nll, self.n_predicted.astype(np.float64))


def join_losses(parts: Sequence[DocumentLosses]) -> DocumentLosses:
    """Losses of the documents of all parts, in their order."""
    columns = zip(*((part.nll, part.n_predicted, part.n_bytes) for part in parts), strict=True)
    return DocumentLosses(*(np.concatenate(column) for column in columns))


def unigram_losses(corpus: TokenizedCorpus, losses: DocumentLosses, n_vocabulary: int) -> DocumentLosses:
    """Losses of held-out documents under the frequencies of tokens in the profile documents.

    The share of tokens that were seen once is the probability of those never seen (Good 1953, "The population
    frequencies of species"), spread evenly over the vocabulary.

    Parameters
    ----------
    corpus : documents of the language.
    losses : of a model on the same held-out documents, which say how many tokens are predicted.
    n_vocabulary : tokens that the model can predict.
    """
    ids = [corpus.token_ids[corpus.offsets[i] : corpus.offsets[i + 1]] for i in corpus.profile_idx]
    counts = np.bincount(np.concatenate(ids), minlength=n_vocabulary).astype(np.float64)
    total = counts.sum()
    unseen = np.clip((counts == 1).sum() / total, 1 / (total + 1), total / (total + 1))
    log_probability = np.log((1 - unseen) * counts / total + unseen / n_vocabulary)
    nll = np.zeros(len(corpus.heldout_idx))
    for row, idx in enumerate(corpus.heldout_idx):
        end = corpus.offsets[idx + 1]
        # without BOS the first token of a document is not predicted
        nll[row] = -log_probability[corpus.token_ids[end - losses.n_predicted[row] : end]].sum()
    return DocumentLosses(nll, losses.n_predicted, losses.n_bytes)
