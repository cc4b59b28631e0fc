"""Continuations of held-out prompts by the dense and the pruned model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import progress
from babelscope.text.fitting import fits, halve_budget
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


def generate_responses(
    info: ModelInfo,
    compute: Compute,
    corpus: TokenizedCorpus,
    plan: PruningPlan,
    plain: PruningPlan,
    *,
    prompts: int,
    prompt_tokens: int,
    new_tokens: int,
    seed: int,
) -> list[dict[str, str]]:
    """Continue held-out prompts with the dense and with the pruned models, greedily and by sampling.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    corpus, plan : documents of the language, and its finished model.
    plain : the model of the language's experts, uncorrected.
    prompts, prompt_tokens : see ``choose_prompts``.
    new_tokens, seed : see ``continue_prompts``.

    Returns
    -------
    Rows of ``responses/{lang}.jsonl``: ``id`` (of the document), ``mode`` (``greedy`` or ``sampled``),
    ``prompt``, ``dense``, ``pruned`` (plain removal of other experts, as in the paper) and ``compensated``
    (the finished model).

    Raises
    ------
    BabelscopeError
        Where no held-out document is long enough, or one prompt does not fit into memory.
    """
    chosen = choose_prompts(corpus, prompts, prompt_tokens)
    model, decode = load_model(info, compute), load_decoder(info.path)
    plans = {
        "dense": PruningPlan(plan.keep | True),
        "pruned": plain,
        "compensated": plan,
    }
    modes = {"greedy": False, "sampled": True}
    texts: dict[tuple[str, str], list[str]] = {}
    with progress(len(chosen) * len(plans) * len(modes), "responses", "generating") as bar:
        for side, one in plans.items():
            with model.restored():
                apply_plan(model.layers, one)
                for mode, sample in modes.items():
                    ids = [prompt for _, prompt in chosen]
                    found = continue_prompts(
                        model, ids, corpus.bos_token_id, new_tokens, sample, seed, bar.update
                    )
                    texts[side, mode] = [decode(one) for one in found]
    return [
        {"id": str(number), "mode": mode, "prompt": decode(prompt.tolist())}
        | {side: texts[side, mode][row] for side in plans}
        for mode in modes
        for row, (number, prompt) in enumerate(chosen)
    ]


def continue_prompts(
    model: StudyModel,
    prompts: Sequence[np.ndarray],
    bos_token_id: int,
    new_tokens: int,
    sample: bool,
    seed: int,
    on_progress: Callable[[int], object] = lambda n: None,
) -> list[list[int]]:
    """Continue each prompt on its own, so that no padding can change the text.

    Parameters
    ----------
    prompts : token ids without BOS.
    new_tokens : at most this many; fewer where the model ends its text.
    sample : True: drawn at temperature 1 from the top 0.95 of the probability; False: greedy.
    seed : of the sampling; the same for both models.

    Raises
    ------
    BabelscopeError
        Where one prompt does not fit into memory.
    """
    results: list[list[int]] = []
    drawn = {"temperature": 1.0, "top_p": 0.95, "top_k": 0} if sample else {}

    def run(ids: list[int]) -> None:
        with torch.inference_mode():
            output = model.module.generate(  # type: ignore[operator]
                torch.tensor([ids], device=model.device),
                max_new_tokens=new_tokens,
                do_sample=sample,
                **drawn,
            )
        results.append(output[0, len(ids) :].tolist())

    for number, prompt in enumerate(prompts):
        ids = [*([bos_token_id] if bos_token_id >= 0 else []), *prompt.tolist()]
        torch.manual_seed(seed + number)
        if not fits(run, ids):
            halve_budget(len(ids) + new_tokens, len(ids) + new_tokens)  # one is the end of halving
        on_progress(1)
    return results


def load_decoder(folder: str | Path) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text, special tokens left out."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True)
