"""Running a model over documents in batches that fit into memory: where it runs out, batches become smaller.

Used by everything that runs a model over documents. What ``run`` does with a batch must be whole or nothing:
a batch that does not fit is run again in parts.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from babelscope.model.load import StudyModel
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger
from babelscope.text.batches import Batch, make_batches


def fits(run: Callable[[Any], object], batch: Any) -> bool:
    """Run one batch; False where memory ran out, after its memory was given back.

    Only ``torch.OutOfMemoryError`` is caught.
    """
    try:
        run(batch)
    except torch.OutOfMemoryError:
        pass  # the traceback holds tensors: what follows runs without it
    else:
        return True
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def halve_budget(tokens_per_batch: int, longest: int) -> int:
    """The next smaller size of batches, logged.

    Parameters
    ----------
    tokens_per_batch : rows x length, too much for the memory.
    longest : tokens of the longest document that is left.

    Raises
    ------
    BabelscopeError
        Where a batch was one document already.
    """
    if tokens_per_batch <= longest:
        raise BabelscopeError(
            f"out of GPU memory with one document of {longest} tokens at a time; a smaller dtype, a "
            "lower corpus.max_tokens, a higher gpu_memory_gb, or device_map: auto with more GPUs need less "
            "for each"
        )
    logger.info(f"out of GPU memory: batches of {tokens_per_batch // 2} tokens from here on")
    return tokens_per_batch // 2


def run_batches(
    model: StudyModel, corpus: Any, document_idx: np.ndarray, run: Callable[[Batch], object]
) -> None:
    """Run every document once, in batches; where memory runs out, the rest in batches of half the tokens.

    Parameters
    ----------
    model : ``tokens_per_batch`` is the size to begin with, and on return one that fitted.
    corpus, document_idx : the documents, and which of them.
    run : called with each batch; a call that runs out of memory must leave nothing behind.

    Raises
    ------
    BabelscopeError
        Where one document at a time does not fit.
    """
    left = np.asarray(document_idx, dtype=np.int64)
    while len(left):
        done: list[np.ndarray] = []
        for batch in make_batches(corpus, left, model.tokens_per_batch):
            if not fits(run, batch):
                break
            done.append(batch.document_idx)
        left = left[~np.isin(left, np.concatenate(done))] if done else left
        if len(left):
            longest = int(np.diff(corpus.offsets)[left].max())
            model.tokens_per_batch = halve_budget(model.tokens_per_batch, longest)
