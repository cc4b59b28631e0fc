"""Held-out negative log-likelihood, document by document, without whole tables of logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from babelscope.model.load import StudyModel, to_device
from babelscope.model.packed import multiply
from babelscope.pruning.blocks import CaughtBatch
from babelscope.pruning.losses import DocumentLosses
from babelscope.pruning.walk import LayerWalk
from babelscope.text.batches import Batch
from babelscope.text.fitting import fits, halve_budget, run_batches
from babelscope.text.tokens import TokenizedCorpus

_VOCABULARY_SLICE = 4096
_TOKENS = 8192  # that a pass through the output layer waits for
# Tokens whose logits of a slice a processor makes at a time: they stay in its cache until they are summed.
_AT_ONCE = 512


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
    layer = OutputLayer(model)
    losses = layer.read(corpus, document_idx, on_progress)
    layer.finish()
    return losses


class OutputLayer:
    """Last hidden states wait here until they are enough for a pass through the output layer.

    With a big vocabulary a pass over few tokens is mostly a pass over the layer's weights. States of one
    model under several changes may wait together.

    Parameters
    ----------
    model : its output layer stays as it is.
    """

    def __init__(self, model: StudyModel) -> None:
        self._model = model
        self._waiting: list[tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]] = []

    def read(
        self,
        corpus: TokenizedCorpus,
        document_idx: np.ndarray,
        on_progress: Callable[[int], object] = lambda n_tokens: None,
    ) -> DocumentLosses:
        """As ``evaluate_documents``, of the model as it is now; ``nll`` is complete after ``finish``."""
        losses = _no_losses(corpus, document_idx)

        def run(batch: Batch) -> None:
            token_ids = to_device(batch.token_ids, self._model.device)
            real, hidden = batch.real_mask(count_special=True), self._model.hidden(token_ids)
            self._add_batch(losses.nll, _rows(document_idx, batch.document_idx), token_ids, real, hidden)
            on_progress(int(batch.n_real.sum()))

        run_batches(self._model, corpus, document_idx, run)
        return losses

    def read_walk(self, corpus: TokenizedCorpus, document_idx: np.ndarray, walk: LayerWalk) -> DocumentLosses:
        """The same of documents that walked through the model to its end, special tokens counted."""
        losses = _no_losses(corpus, document_idx)

        def see(batch: CaughtBatch, hidden: torch.Tensor) -> None:
            token_ids = to_device(batch.token_ids, hidden.device)
            self._add_batch(
                losses.nll, _rows(document_idx, batch.document_idx), token_ids, batch.real, hidden
            )

        walk.leave(see)
        return losses

    def _add_batch(
        self,
        nll: np.ndarray,
        row: np.ndarray,
        token_ids: torch.Tensor,
        real: np.ndarray,
        hidden: torch.Tensor,
    ) -> None:
        """A batch (n_documents, length), the row of ``nll`` of each document.

        Of a model on several GPUs token ids lie on the first and hidden states on the last.
        """
        predicted = real[:, 1:]
        states, targets = (
            values[to_device(predicted, values.device)] for values in (hidden[:, :-1], token_ids[:, 1:])
        )
        self._add(states, targets, nll, np.repeat(row, predicted.sum(axis=1)))  # (n_tokens, d_model)

    def _add(self, hidden: torch.Tensor, targets: torch.Tensor, nll: np.ndarray, row: np.ndarray) -> None:
        """Tokens (n_tokens, d_model), the next token of each, and the row of ``nll`` that gets its loss."""
        if sum(len(targets) for _, targets, _, _ in self._waiting) >= _TOKENS:
            self.finish()
        self._waiting.append((hidden, targets, nll, row))

    def finish(self) -> None:
        """Add the losses of all tokens that wait to those of their documents."""
        if not self._waiting:
            return
        hidden, targets, totals, rows = zip(*self._waiting, strict=True)
        loss = _losses_that_fit(self._model, torch.cat(hidden), torch.cat(targets)).double().cpu().numpy()
        ends = np.cumsum([len(row) for row in rows])
        for nll, row, part in zip(totals, rows, np.split(loss, ends[:-1]), strict=True):
            nll += np.bincount(row, part, len(nll))
        self._waiting = []


def _rows(document_idx: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Places of documents among others."""
    row_of = {int(idx): row for row, idx in enumerate(document_idx)}
    return np.array([row_of[int(idx)] for idx in of])


def _no_losses(corpus: TokenizedCorpus, document_idx: np.ndarray) -> DocumentLosses:
    """Of documents with what is predicted of each, to be added to."""
    lengths = np.diff(corpus.offsets)[document_idx]
    n_predicted = lengths - (0 if corpus.bos_token_id >= 0 else 1)
    n_bytes = np.round(corpus.n_bytes[document_idx] * (n_predicted / lengths)).astype(np.int64)
    return DocumentLosses(np.zeros(len(lengths)), n_predicted.astype(np.int64), np.maximum(n_bytes, 1))


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
    at_once = _AT_ONCE if hidden.device.type == "cpu" else max(1, len(hidden))
    parts = list(hidden.split(at_once))
    normalisers = []
    chosen = torch.zeros(len(targets), dtype=torch.float32, device=targets.device)
    for start in range(0, len(head.weight), _VOCABULARY_SLICE):
        part = slice(start, start + _VOCABULARY_SLICE)
        products = multiply(parts, head.weight[part], None if head.bias is None else head.bias[part])
        sums = []
        for logits, found, wanted in zip(
            products, chosen.split(at_once), targets.split(at_once), strict=True
        ):
            logits = logits.float()
            if cap:
                logits.div_(cap).tanh_().mul_(cap)
            here = (wanted >= start) & (wanted < start + logits.shape[1])
            column = (wanted - start).clamp(0, logits.shape[1] - 1)
            found.copy_(torch.where(here, logits.gather(1, column[:, None])[:, 0], found))
            sums.append(_log_sum_exp(logits))
        normalisers.append(torch.cat(sums))
    return torch.stack(normalisers).logsumexp(dim=0) - chosen


def _log_sum_exp(values: torch.Tensor) -> torch.Tensor:
    """``values.logsumexp(dim=1)``, which overwrites them: a third less time where they lie in the cache."""
    largest = values.amax(dim=1, keepdim=True)
    largest.masked_fill_(largest.isinf(), 0)
    return values.sub_(largest).exp_().sum(dim=1).log_().add_(largest[:, 0])
