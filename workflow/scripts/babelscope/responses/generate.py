"""Continuations of held-out prompts by the dense and the pruned model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babelscope.model.load import StudyModel
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import TokenizedCorpus

MIN_PROMPT_TOKENS = 4


def choose_prompts(
    corpus: TokenizedCorpus, n_prompts: int, prompt_tokens: int
) -> list[tuple[int, np.ndarray]]:
    """The starts of the first held-out documents that are long enough to be continued.

    Returns
    -------
    Document number and token ids without BOS: the first half of the document, at most ``prompt_tokens``.

    Raises
    ------
    BabelscopeError
        Where no held-out document is long enough.
    """
    prompts = []
    for idx in corpus.heldout_idx:
        ids = corpus.document(int(idx))
        n = min(prompt_tokens, len(ids) // 2)
        if n >= MIN_PROMPT_TOKENS:
            prompts.append((int(idx), ids[:n].astype(np.int64)))
        if len(prompts) == n_prompts:
            break
    if not prompts:
        raise BabelscopeError(
            f"no held-out document of at least {2 * MIN_PROMPT_TOKENS} tokens to prompt with"
        )
    return prompts


def continue_prompts(
    model: StudyModel,
    prompts: Sequence[np.ndarray],
    bos_token_id: int,
    new_tokens: int,
    sample: bool,
    seed: int,
    on_progress: Callable[[int], object] = lambda n: None,
) -> list[list[int]]:
    """Continue each prompt on its own, so that no padding can change what is said.

    Parameters
    ----------
    prompts : token ids without BOS.
    new_tokens : at most this many; fewer where the model ends its text.
    sample : True: drawn at temperature 1 from the top 0.95 of the probability; False: greedy.
    seed : of the sampling; the same for both models.
    """
    results = []
    for number, prompt in enumerate(prompts):
        ids = [*([bos_token_id] if bos_token_id >= 0 else []), *prompt.tolist()]
        torch.manual_seed(seed + number)
        with torch.inference_mode():
            output = model.module.generate(  # type: ignore[operator]
                torch.tensor([ids], device=model.device),
                max_new_tokens=new_tokens,
                do_sample=sample,
                **({"temperature": 1.0, "top_p": 0.95, "top_k": 0} if sample else {}),
            )
        results.append(output[0, len(ids) :].tolist())
        on_progress(1)
    return results


def load_decoder(folder: str | Path) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text, special tokens left out."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True)
