"""Speed and size of sliced models, measured in turns with the dense one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from babelscope.files.record import write_record
from babelscope.files.tables import plain_rows
from babelscope.files.whole import write_text
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo
from babelscope.model.layers import FfnState, restored
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.cut import FAST_WIDTHS, round_widths
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.pruning.speed_table import SpeedRow, choose_models, same_widths, speed_table
from babelscope.pruning.tables import SPEED
from babelscope.study.progress import progress
from babelscope.text.fitting import fits, halve_budget


@dataclass(frozen=True)
class SpeedSettings:
    """Settings of the timings.

    Attributes
    ----------
    batch_sizes : sequences at once.
    prompt_tokens : tokens of each sequence in prefill; decoding goes on from there.
    new_tokens : tokens that decoding adds to each sequence.
    repeats : timings of each model, in turns; medians are reported.
    attempts : times so many turns at most: they are more where a timing is noisy.
    width_multiple : the sliced model's widths are rounded up to multiples of this, see ``round_widths``.
    """

    batch_sizes: tuple[int, ...] = (1, 4)
    prompt_tokens: int = 64
    new_tokens: int = 4
    repeats: int = 5
    attempts: int = 3
    width_multiple: int = FAST_WIDTHS


PHASES = ("prefill", "decode")
# A timing whose turns differ by more than this share decides nothing.
NOISY_SPREAD = 0.1


@dataclass(frozen=True)
class Timing:
    """Seconds of each turn of the dense and of the sliced model, float64 (n_repeats,)."""

    dense: np.ndarray
    sliced: np.ndarray

    @property
    def medians(self) -> tuple[float, float]:
        """Seconds of the dense and of the sliced model."""
        return float(np.median(self.dense)), float(np.median(self.sliced))

    @property
    def turns(self) -> np.ndarray:
        """How many times faster the sliced model is in each turn, float64 (n_repeats,)."""
        return self.dense / self.sliced

    @property
    def spread(self) -> float:
        """Interquartile range of ``turns`` over their median; 0 for one turn."""
        low, middle, high = np.percentile(self.turns, [25, 50, 75])
        return float((high - low) / middle)

    @property
    def noisy(self) -> bool:
        """Whether the spread is above ``NOISY_SPREAD``."""
        return self.spread > NOISY_SPREAD


def measure_until_calm(
    turn: Callable[[Collection[str]], Mapping[str, Sequence[float]]], repeats: int, attempts: int
) -> dict[str, Timing]:
    """Timings by phase: of each phase so many turns in a row, those of the least spread.

    Turn after turn is added to a phase that is still noisy: a disturbed moment costs a few of them, not as
    many again, and the calm phase none.

    Parameters
    ----------
    turn : seconds of the dense and of the sliced model by phase, once, of the phases that it is asked for.
    repeats : turns of a timing. attempts : times so many turns at most.
    """
    taken = [turn(PHASES) for _ in range(repeats)]
    turns = {phase: [seconds[phase] for seconds in taken] for phase in PHASES}
    best = {phase: _calmest(turns[phase], repeats) for phase in PHASES}
    most = attempts * repeats
    while noisy := [phase for phase in PHASES if best[phase].noisy and len(turns[phase]) < most]:
        seconds = turn(noisy)
        for phase in noisy:
            turns[phase].append(seconds[phase])
            best[phase] = _calmest(turns[phase], repeats)
    return best


def _calmest(turns: Sequence[Sequence[float]], repeats: int) -> Timing:
    """The least spread turns in a row, so many of them."""
    dense, sliced = np.array(turns).T
    rows = [slice(start, start + repeats) for start in range(len(turns) - repeats + 1)]
    return min((Timing(dense[row], sliced[row]) for row in rows), key=lambda timing: timing.spread)


def measure_speed(
    model: StudyModel,
    plans: Mapping[str, PruningPlan],
    token_ids: np.ndarray,
    settings: SpeedSettings,
    alike: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[SpeedRow]:
    """Time the dense and each language's sliced model, interleaved.

    Parameters
    ----------
    model : dense; unchanged.
    plans : by language.
    token_ids : int (n,), any text; at least ``max(batch_sizes) * prompt_tokens`` tokens.
    settings : what is timed.
    alike : see ``same_widths``; None: each stands for its language alone.
    """
    layers = model.layers
    dense = FfnState.of(layers)
    for language, plan in plans.items():
        # One model that changes its layers: two would differ in where their other weights lie in memory, and
        # reading the output layer took 12 % longer in a copy.
        with restored(layers):
            apply_plan(layers, plan)
            sliced_weights = _weights(model)
            round_widths(layers, settings.width_multiple)
            states, weight_bytes = [dense, FfnState.of(layers)], [_weights(model).n_bytes]
        weight_bytes.insert(0, _weights(model).n_bytes)
        for batch_size, (timings, passing) in _measure_sizes(model, states, token_ids, settings):
            n_tokens = {
                "prefill": batch_size * settings.prompt_tokens,
                "decode": batch_size * settings.new_tokens,
            }
            for phase, timing in timings.items():
                dense_seconds, sliced_seconds = timing.medians
                shared = _shared_cost(model, phase, batch_size, settings)
                ideal = (_weights(model).inner + shared) / (sliced_weights.inner + shared)
                ratio = dense_seconds / sliced_seconds
                yield SpeedRow(
                    language,
                    phase,
                    batch_size,
                    n_tokens[phase] / dense_seconds,
                    n_tokens[phase] / sliced_seconds,
                    ratio,
                    ideal,
                    ratio / ideal,
                    weight_bytes[0],
                    weight_bytes[1],
                    weight_bytes[0] + passing[0][phase],
                    weight_bytes[1] + passing[1][phase],
                    spread=timing.spread,
                    noisy=timing.noisy,
                    turns=tuple(timing.turns.tolist()),
                    languages=tuple((alike or {}).get(language, [language])),
                )


_Measured = tuple[dict[str, Timing], list[dict[str, int]]]


def _measure_sizes(
    model: StudyModel, states: Sequence[FfnState], token_ids: np.ndarray, settings: SpeedSettings
) -> Iterator[tuple[int, _Measured]]:
    """Timings and bytes of a pass for every size of a batch, once; a size that does not fit is halved."""
    done: set[int] = set()
    found: list[_Measured] = []

    def measure(batch_size: int) -> None:
        ids = np.resize(token_ids, (batch_size, settings.prompt_tokens)).astype(np.int64)
        prompt = torch.from_numpy(ids).to(model.device)
        with restored(model.layers):
            turn = partial(_turn, model, states, prompt, settings.new_tokens)
            turn(PHASES)  # warms up
            timings = measure_until_calm(turn, settings.repeats, settings.attempts)
            found.append((timings, [_peak(model, state, prompt) for state in states]))

    for batch_size in settings.batch_sizes:
        while batch_size not in done and not fits(measure, batch_size):
            n_tokens = halve_budget(batch_size * settings.prompt_tokens, settings.prompt_tokens)
            batch_size = n_tokens // settings.prompt_tokens
        if batch_size not in done:
            done.add(batch_size)
            yield batch_size, found.pop()


def time_plans(
    info: ModelInfo, compute: Compute, plans: Mapping[str, PruningPlan], token_ids: np.ndarray, which: str
) -> list[SpeedRow]:
    """Load a model and time it against pruned ones, see ``measure_speed``; each set of widths once.

    Parameters
    ----------
    info, compute : the prepared model, and how it computes.
    plans, token_ids : pruned models by language, and any text.
    which : see ``choose_models``.
    """
    alike = same_widths(plans)
    n_kept = {language: int(plans[language].keep.sum()) for language in alike}
    plans = {language: plans[language] for language in choose_models(n_kept, which)}
    settings, rows = SpeedSettings(), []
    model = load_model(info, compute)
    with progress(2 * len(plans) * len(settings.batch_sizes), "timings", "measuring speed") as bar:
        for row in measure_speed(model, plans, token_ids, settings, alike):
            rows.append(row)
            bar.update(1)
    return rows


def write_speed(out: Any, rows: Sequence[SpeedRow], model: str, languages: Sequence[str]) -> None:
    """Write ``table``, ``pruning_speed.csv``, and ``record``, the same in full precision."""
    write_text(out.table, speed_table(rows))
    write_record(out.record, SPEED, {"rows": plain_rows(rows)}, model=model, languages=list(languages))


def _turn(
    model: StudyModel,
    states: Sequence[FfnState],
    prompt: torch.Tensor,
    new_tokens: int,
    phases: Collection[str],
) -> dict[str, list[float]]:
    """Seconds of the dense and the sliced state by phase, one after the other: a noisy moment meets both."""
    taken = []
    for state in states:
        state.put_back()
        taken.append(_generate(model, prompt, new_tokens if "decode" in phases else 0))
    return {phase: [seconds[phase] for seconds in taken] for phase in phases}


def _generate(model: StudyModel, prompt: torch.Tensor, new_tokens: int) -> dict[str, float]:
    with torch.inference_mode():
        begin = _now(prompt.device)
        cache = model.base(input_ids=prompt, use_cache=True).past_key_values
        filled = _now(prompt.device)
        token = prompt[:, -1:]  # which one is nothing to speed
        for _ in range(new_tokens):
            output = model.module(input_ids=token, past_key_values=cache, use_cache=True)
            token, cache = output.logits.argmax(dim=-1), output.past_key_values
        return {"prefill": filled - begin, "decode": _now(prompt.device) - filled}


def _peak(model: StudyModel, state: FfnState, prompt: torch.Tensor) -> dict[str, int]:
    """Bytes that a pass of each phase holds at most at one time, weights left out."""
    state.put_back()
    token = prompt[:, -1:]
    with torch.inference_mode():
        cache, prefill, cached = _allocated(lambda: model.base(input_ids=prompt, use_cache=True)[1])
        _, decode, _ = _allocated(
            lambda: model.module(input_ids=token, past_key_values=cache, use_cache=True)[0]
        )
    return {"prefill": prefill, "decode": cached + decode}


def _allocated(run: Callable[[], Any]) -> tuple[Any, int, int]:
    """A function's result, its peak of bytes in tensors, and the bytes that it still holds."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = run()
        return result, torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = run()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    held = np.cumsum([0, *(event.nbytes() for event in events)])
    return result, int(held.max()), int(held[-1])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@dataclass(frozen=True)
class _Weights:
    """``inner``: numbers in the linear modules but the output layer; ``n_bytes``: of all parameters."""

    inner: int
    n_bytes: int


def _weights(model: StudyModel) -> _Weights:
    linears = (m for m in model.module.modules() if isinstance(m, nn.Linear) and m is not model.head)
    n_bytes = sum(p.numel() * p.element_size() for p in model.module.parameters())
    return _Weights(sum(m.weight.numel() for m in linears), n_bytes)


def _shared_cost(model: StudyModel, phase: str, batch_size: int, settings: SpeedSettings) -> float:
    """Work that slicing leaves: multiplications per token in prefill, numbers read per step in decoding."""
    config: Any = model.module.config
    n_layers, n_heads = config.num_hidden_layers, config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    if phase == "prefill":
        # a token attends to half of the prompt on average, by scores and by values
        return n_layers * n_heads * d_head * settings.prompt_tokens
    n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    context = settings.prompt_tokens + settings.new_tokens / 2
    cached = 2 * n_layers * n_kv_heads * d_head * context * batch_size
    return model.head.weight.numel() + cached
