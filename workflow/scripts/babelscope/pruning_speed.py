"""How much faster and smaller a sliced model is, measured beside the dense one."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median

import numpy as np
import torch
from torch import nn

from babelscope.models import find_ffn_layers, input_device
from babelscope.pruning_plan import PruningPlan, apply_plan


@dataclass(frozen=True)
class SpeedSettings:
    """What is timed.

    Attributes
    ----------
    batch_sizes : sequences at once.
    prompt_tokens : tokens of each sequence in prefill; decoding starts from as many.
    new_tokens : tokens that decoding adds to each sequence.
    repeats : timings of each model, in turns; medians are reported.
    """

    batch_sizes: tuple[int, ...] = (1, 4)
    prompt_tokens: int = 32
    new_tokens: int = 4
    repeats: int = 3


@dataclass(frozen=True)
class SpeedRow:
    """One row of ``pruning_speed.csv``; ``ratio`` is sliced over dense.

    ``ideal_ratio`` is the ratio of operations in prefill, and of weight bytes that are read in decoding.
    """

    language: str
    phase: str
    batch_size: int
    dense_tokens_per_second: float
    sliced_tokens_per_second: float
    ratio: float
    ideal_ratio: float
    share_of_ideal: float
    dense_weight_bytes: int
    sliced_weight_bytes: int


def measure_speed(
    model: nn.Module, plans: Mapping[str, PruningPlan], token_ids: np.ndarray, settings: SpeedSettings
) -> Iterator[SpeedRow]:
    """Time the dense and each language's sliced model, interleaved.

    Parameters
    ----------
    model : dense, with its output layer; unchanged.
    plans : by language.
    token_ids : int (n,), any text; at least ``max(batch_sizes) * prompt_tokens`` tokens.
    settings : what is timed.
    """
    device = input_device(model)
    for language, plan in plans.items():
        sliced = copy.deepcopy(model)
        apply_plan(find_ffn_layers(sliced), plan)
        weights = [sum(p.numel() * p.element_size() for p in m.parameters()) for m in (model, sliced)]
        for batch_size in settings.batch_sizes:
            ids = np.resize(token_ids, (batch_size, settings.prompt_tokens)).astype(np.int64)
            prompt = torch.from_numpy(ids).to(device)
            for phase, run, n_tokens in (
                ("prefill", _prefill, prompt.numel()),
                ("decode", _decode, batch_size * settings.new_tokens),
            ):
                seconds = _interleaved([model, sliced], run, prompt, settings)
                cost = [_cost(m, phase, settings.prompt_tokens) for m in (model, sliced)]
                rates = [n_tokens / s for s in seconds]
                ratio, ideal = rates[1] / rates[0], cost[0] / cost[1]
                yield SpeedRow(
                    language, phase, batch_size, rates[0], rates[1], ratio, ideal, ratio / ideal, *weights
                )


def speed_table(rows: Sequence[SpeedRow]) -> str:
    """CSV text, one line a row."""
    names = [field.name for field in fields(SpeedRow)]
    lines = [",".join(_cell(getattr(row, name)) for name in names) for row in rows]
    return "\n".join([",".join(names), *lines]) + "\n"


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


Run = Callable[[nn.Module, torch.Tensor, int], float]


def _interleaved(
    models: Sequence[nn.Module], run: Run, prompt: torch.Tensor, settings: SpeedSettings
) -> list[float]:
    """Median seconds of each model; they take turns, so that a noisy moment meets all of them."""
    times: list[list[float]] = [[] for _ in models]
    for repeat in range(settings.repeats + 1):
        for model, seconds in zip(models, times, strict=True):
            taken = run(model, prompt, settings.new_tokens)
            if repeat:  # the first round warms up
                seconds.append(taken)
    return [median(seconds) for seconds in times]


def _prefill(model: nn.Module, prompt: torch.Tensor, _new_tokens: int) -> float:
    with torch.inference_mode():
        begin = _now(prompt.device)
        model(input_ids=prompt, use_cache=False, logits_to_keep=1)
        return _now(prompt.device) - begin


def _decode(model: nn.Module, prompt: torch.Tensor, new_tokens: int) -> float:
    with torch.inference_mode():
        output = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        begin = _now(prompt.device)
        for _ in range(new_tokens):
            token = output.logits[:, -1:].argmax(dim=-1)
            output = model(
                input_ids=token, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1
            )
        return _now(prompt.device) - begin


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _cost(model: nn.Module, phase: str, prompt_tokens: int) -> float:
    """Multiplications per token in prefill; weights read per step in decoding."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    inner = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear) and m is not head)
    # in prefill the output layer runs for the last token of a sequence alone
    return inner + head.weight.numel() / (prompt_tokens if phase == "prefill" else 1)
