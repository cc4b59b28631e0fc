"""Held-out negative log-likelihood, document by document, without whole tables of logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from babelscope.model.load import StudyModel, to_device
from babelscope.pruning.losses import DocumentLosses
from babelscope.text.batches import Batch
from babelscope.text.fitting import run_batches
from babelscope.text.tokens import TokenizedCorpus

_VOCABULARY_SLICE = 4096


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
    n_documents = len(document_idx)
    row_of = {int(idx): row for row, idx in enumerate(document_idx)}
    lengths = np.diff(corpus.offsets)[document_idx]
    n_predicted = lengths - (0 if corpus.bos_token_id >= 0 else 1)
    n_bytes = np.round(corpus.n_bytes[document_idx] * (n_predicted / lengths)).astype(np.int64)
    nll = np.zeros(n_documents)

    def run(batch: Batch) -> None:
        token_ids = to_device(batch.token_ids, model.device)
        predicted = to_device(batch.real_mask(count_special=True)[:, 1:], model.device)
        with torch.inference_mode():
            hidden = model.hidden(token_ids)  # (document, position, d_model)
            loss = token_losses(model, hidden[:, :-1][predicted], token_ids[:, 1:][predicted])
        table = torch.zeros(predicted.shape, dtype=torch.float64)
        table[predicted.cpu()] = loss.double().cpu()
        nll[[row_of[int(idx)] for idx in batch.document_idx]] = table.sum(dim=1).numpy()
        on_progress(int(batch.n_real.sum()))

    run_batches(model, corpus, document_idx, run)
    return DocumentLosses(nll, n_predicted.astype(np.int64), np.maximum(n_bytes, 1))


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
        logits = nn.functional.linear(
            hidden, head.weight[part], None if head.bias is None else head.bias[part]
        )
        logits = logits.float()
        if cap:
            logits = torch.tanh(logits / cap) * cap
        normalisers.append(logits.logsumexp(dim=1))
        here = (targets >= start) & (targets < start + logits.shape[1])
        column = (targets - start).clamp(0, logits.shape[1] - 1)
        chosen = torch.where(here, logits.gather(1, column[:, None])[:, 0], chosen)
    return torch.stack(normalisers).logsumexp(dim=0) - chosen
