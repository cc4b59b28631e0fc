"""How much faster and smaller a sliced model is, measured beside the dense one."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.models import base_model, find_ffn_layers, input_device
from babelscope.pruning import FAST_WIDTHS, round_widths
from babelscope.pruning_plan import PruningPlan, apply_plan


@dataclass(frozen=True)
class SpeedSettings:
    """What is timed.

    Attributes
    ----------
    batch_sizes : sequences at once.
    prompt_tokens : tokens of each sequence in prefill; decoding goes on from there.
    new_tokens : tokens that decoding adds to each sequence.
    repeats : timings of each model, in turns; medians are reported.
    width_multiple : the sliced model's widths are rounded up to multiples of this, see ``round_widths``.
    """

    batch_sizes: tuple[int, ...] = (1, 4)
    prompt_tokens: int = 64
    new_tokens: int = 4
    repeats: int = 3
    width_multiple: int = FAST_WIDTHS


@dataclass(frozen=True)
class SpeedRow:
    """One row of ``pruning_speed.csv``; ``ratio`` is sliced over dense.

    ``ideal_ratio`` is the ratio of multiplications in prefill, and of the bytes of weights and cache that are
    read in decoding, of the sliced model before its widths are rounded up. Prefill fills the cache without
    the output layer, which belongs to decoding. ``sliced_weight_bytes`` is what the model takes as it runs.
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
    for language, plan in plans.items():
        sliced = copy.deepcopy(model)
        layers = find_ffn_layers(sliced)
        apply_plan(layers, plan)
        costs = {
            (phase, size): [_cost(m, phase, size, settings) for m in (model, sliced)]
            for size in settings.batch_sizes
            for phase in ("prefill", "decode")
        }
        round_widths(layers, settings.width_multiple)
        weights = [sum(p.numel() * p.element_size() for p in m.parameters()) for m in (model, sliced)]
        for batch_size in settings.batch_sizes:
            ids = np.resize(token_ids, (batch_size, settings.prompt_tokens)).astype(np.int64)
            seconds = _interleaved([model, sliced], torch.from_numpy(ids).to(input_device(model)), settings)
            n_tokens = {"prefill": ids.size, "decode": batch_size * settings.new_tokens}
            for phase, (dense_seconds, sliced_seconds) in seconds.items():
                dense_cost, sliced_cost = costs[phase, batch_size]
                ratio, ideal = dense_seconds / sliced_seconds, dense_cost / sliced_cost
                yield SpeedRow(
                    language,
                    phase,
                    batch_size,
                    n_tokens[phase] / dense_seconds,
                    n_tokens[phase] / sliced_seconds,
                    ratio,
                    ideal,
                    ratio / ideal,
                    *weights,
                )


def speed_table(rows: Sequence[SpeedRow]) -> str:
    """CSV text, one line a row."""
    names = [field.name for field in fields(SpeedRow)]
    lines = [",".join(_cell(getattr(row, name)) for name in names) for row in rows]
    return "\n".join([",".join(names), *lines]) + "\n"


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _interleaved(
    models: Sequence[nn.Module], prompt: torch.Tensor, settings: SpeedSettings
) -> dict[str, list[float]]:
    """Median seconds of each model by phase; they take turns, so that a noisy moment meets all of them."""
    times: dict[str, list[list[float]]] = {"prefill": [[] for _ in models], "decode": [[] for _ in models]}
    for repeat in range(settings.repeats + 1):
        for number, model in enumerate(models):
            taken = _generate(model, prompt, settings.new_tokens)
            if repeat:  # the first round warms up
                for phase, seconds in taken.items():
                    times[phase][number].append(seconds)
    return {phase: [median(seconds) for seconds in lists] for phase, lists in times.items()}


def _generate(model: nn.Module, prompt: torch.Tensor, new_tokens: int) -> dict[str, float]:
    with torch.inference_mode():
        begin = _now(prompt.device)
        cache = base_model(model)(input_ids=prompt, use_cache=True).past_key_values
        filled = _now(prompt.device)
        token = prompt[:, -1:]  # which one is nothing to speed
        for _ in range(new_tokens):
            output = model(input_ids=token, past_key_values=cache, use_cache=True)
            token, cache = output.logits.argmax(dim=-1), output.past_key_values
        return {"prefill": filled - begin, "decode": _now(prompt.device) - filled}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _cost(model: nn.Module, phase: str, batch_size: int, settings: SpeedSettings) -> float:
    """Multiplications per token in prefill; bytes of weights and cache read per step in decoding."""
    config: Any = model.config
    head = model.get_output_embeddings()  # type: ignore[operator]
    inner = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear) and m is not head)
    n_layers, n_heads = config.num_hidden_layers, config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    if phase == "prefill":
        # a token attends to half of the prompt on average, by scores and by values
        return inner + n_layers * n_heads * d_head * settings.prompt_tokens
    n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    context = settings.prompt_tokens + settings.new_tokens / 2
    cached = 2 * n_layers * n_kv_heads * d_head * context * batch_size
    return (inner + head.weight.numel() + cached) * head.weight.element_size()
