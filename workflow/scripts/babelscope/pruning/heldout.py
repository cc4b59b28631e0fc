"""Held-out negative log-likelihood, document by document, without whole tables of logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from babelscope.model.load import StudyModel, to_device
from babelscope.model.packed import multiply
from babelscope.pruning.losses import DocumentLosses
from babelscope.text.batches import Batch
from babelscope.text.fitting import fits, halve_budget, run_batches
from babelscope.text.tokens import TokenizedCorpus

_VOCABULARY_SLICE = 4096
_TOKENS = 1024  # that a pass through the output layer waits for


def evaluate_documents(
    model: StudyModel,
    corpus: TokenizedCorpus,
    document_idx: np.ndarray,
    on_progress: Callable[[int], object] = lambda n_tokens: None,
) -> DocumentLosses:
    """Negative log-likelihood of documents; BOS is an input and never predicted.

    Where the tokenizer has no BOS, the first token of a document is an input only, and its bytes are left
    out in proportion.

    Parameters
    ----------
    model : as it is at this time.
    corpus, document_idx : the documents, and which of them.
    on_progress : called with the number of tokens done.
    """
    row_of = {int(idx): row for row, idx in enumerate(document_idx)}
    lengths = np.diff(corpus.offsets)[document_idx]
    n_predicted = lengths - (0 if corpus.bos_token_id >= 0 else 1)
    n_bytes = np.round(corpus.n_bytes[document_idx] * (n_predicted / lengths)).astype(np.int64)
    waiting = _Waiting(model, len(document_idx))

    def run(batch: Batch) -> None:
        token_ids = to_device(batch.token_ids, model.device)
        predicted = batch.real_mask(count_special=True)[:, 1:]
        row = np.array([row_of[int(idx)] for idx in batch.document_idx])
        chosen = to_device(predicted, model.device)
        hidden = model.hidden(token_ids)  # (document, position, d_model)
        waiting.add(hidden[:, :-1][chosen], token_ids[:, 1:][chosen], np.repeat(row, predicted.sum(axis=1)))
        on_progress(int(batch.n_real.sum()))

    run_batches(model, corpus, document_idx, run)
    nll = waiting.finish()
    return DocumentLosses(nll, n_predicted.astype(np.int64), np.maximum(n_bytes, 1))


class _Waiting:
    """Last hidden states that wait until they are enough for a pass through the output layer.

    With a big vocabulary a pass over few tokens is mostly a pass over the layer's weights.
    """

    def __init__(self, model: StudyModel, n_documents: int) -> None:
        self._model, self._nll = model, np.zeros(n_documents)
        self._waiting: list[tuple[torch.Tensor, torch.Tensor, np.ndarray]] = []

    def add(self, hidden: torch.Tensor, targets: torch.Tensor, row: np.ndarray) -> None:
        """Of tokens (n_tokens, d_model), the next token of each and its document's row, int64 (n_tokens,)."""
        if sum(len(targets) for _, targets, _ in self._waiting) >= _TOKENS:
            self.finish()
        self._waiting.append((hidden, targets, row))

    def finish(self) -> np.ndarray:
        """Loss of every document, nats in all, float64 (n_documents,), with all tokens that were added."""
        if not self._waiting:
            return self._nll
        hidden, targets, row = zip(*self._waiting, strict=True)
        loss = _losses_that_fit(self._model, torch.cat(hidden), torch.cat(targets))
        self._nll += np.bincount(np.concatenate(row), loss.double().cpu().numpy(), len(self._nll))
        self._waiting = []
        return self._nll


def _losses_that_fit(model: StudyModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``token_losses``, in parts where memory runs out."""
    found: list[torch.Tensor] = []
    if fits(lambda tokens: found.append(token_losses(model, *tokens)), (hidden, targets)):
        return found[0]
    half = halve_budget(len(targets), 1)
    parts = zip(hidden.split(half), targets.split(half), strict=True)
    return torch.cat([_losses_that_fit(model, *part) for part in parts])


@torch.inference_mode()
def token_losses(model: StudyModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Loss of every token, float32 (n_tokens,), in slices of the vocabulary so that logits stay small.

    A slice stays in the processor's cache: faster than whole rows of logits, too.

    Parameters
    ----------
    hidden : (n_tokens, d_model), last hidden states.
    targets : int64 (n_tokens,), the next token.
    """
    head = model.head
    cap = getattr(model.module.config, "final_logit_softcapping", None)
    hidden, targets = hidden.to(head.weight.device), targets.to(head.weight.device)
    normalisers = []
    chosen = torch.zeros(len(targets), dtype=torch.float32, device=targets.device)
    for start in range(0, len(head.weight), _VOCABULARY_SLICE):
        part = slice(start, start + _VOCABULARY_SLICE)
        logits = multiply(hidden, head.weight[part], None if head.bias is None else head.bias[part]).float()
        if cap:
            logits = torch.tanh(logits / cap) * cap
        normalisers.append(logits.logsumexp(dim=1))
        here = (targets >= start) & (targets < start + logits.shape[1])
        column = (targets - start).clamp(0, logits.shape[1] - 1)
        chosen = torch.where(here, logits.gather(1, column[:, None])[:, 0], chosen)
    return torch.stack(normalisers).logsumexp(dim=0) - chosen
