"""Held-out losses of documents, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

    @property
    def standard_error(self) -> float:
        """Standard error of ``mean_nll`` over documents (ratio estimator), nats per token."""
        n = len(self.nll)
        if n < 2:
            return float("nan")
        residual = self.nll - self.mean_nll * self.n_predicted
        return float(np.sqrt(n / (n - 1) * np.sum(residual**2)) / self.n_predicted.sum())
