"""Pruned models that run: dense against sliced layers, prefill and decoding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from bench_shapes import (
    LLAMA_7B,
    TINY,
    build_llama,
    device,
    flops_per_token,
    median_seconds,
)

from babelscope.model.layers import find_ffn_layers, take_neurons
from babelscope.model.load import compile_norms

# Widths of the feed-forward layers are multiples of this; the dense model keeps its own.
KINDS = {"dense": 0, "uneven": 1, "multiple_of_64": 64, "multiple_of_128": 128}
MODES = ("as_it_comes", "compiled", "decode_compiled")


def bench_pruning(tiny: bool, n_layers: int | None, modes: list[str], kinds: list[str]) -> dict[str, Any]:
    """Dense against sliced at 70 % of the feed-forward width, prefill and decode, batch 1 and 32.

    Every layer has a width of its own. As it comes, and with normalisations, rotary embeddings and the
    product behind the activation compiled once for all widths, in the dense model too. The ideal is the ratio
    of operations in prefill, of bytes of weights and cache in decoding. ``decode_compiled`` compiles the
    whole step of decoding, each width by itself: minutes, unless ``n_layers`` is small.
    """
    width = (TINY if tiny else LLAMA_7B)["intermediate_size"]
    results: dict[str, Any] = {}
    for mode in modes:
        table = results[mode] = {}
        for kind in kinds:
            step = KINDS[kind]
            rng = np.random.default_rng(0)
            model = build_llama(tiny, n_layers)
            layers = find_ffn_layers(model)
            if step:
                drawn = [round(width * rng.uniform(0.55, 0.85) / step) * step for _ in layers]
                take_neurons(layers, [torch.arange(size) for size in drawn])
            if mode == "compiled":
                compile_norms(model)
                for module in model.modules():
                    if type(module).__name__ == "LlamaMLP":
                        module.compile(dynamic=True)
            if mode == "decode_compiled":
                model.compile(dynamic=False)
            table[kind] = time_inference(model, tiny)
            print(mode, kind, table[kind], file=sys.stderr, flush=True)
            del model, layers
            torch._dynamo.reset()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        for kind in kinds[1:]:
            compare_inference(table["dense"], table[kind])
    return results


def time_inference(model: torch.nn.Module, tiny: bool) -> dict[str, float]:
    """Tokens/s of prefill and decoding, and what each costs: operations a token, bytes a step."""
    length, context = (64 if tiny else 512), 256
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    config = model.config
    cache = 2 * context * config.num_hidden_layers * config.hidden_size
    entry: dict[str, float] = {}
    for batch in (1, 32):
        prompt = torch.randint(3, 32000, (batch, length), device=device())
        with torch.inference_mode():
            prefill = captured(partial(model.base_model, input_ids=prompt, use_cache=False))
            seconds = median_seconds(prefill, 7, 3)
            entry[f"prefill_{batch}"] = prompt.numel() / seconds
            entry[f"decode_{batch}"] = decode_rate(model, batch, 16 if tiny else 64, context)
        entry[f"prefill_{batch}_cost"] = flops_per_token(model, length)
        entry[f"decode_{batch}_cost"] = 2.0 * (weights + batch * cache)
    return entry


def compare_inference(dense: dict[str, float], sliced: dict[str, float]) -> None:
    """Add the ratios of rates, the ideal ones, and the share of the ideal that is reached."""
    for phase in ("prefill_1", "prefill_32", "decode_1", "decode_32"):
        ideal = dense[f"{phase}_cost"] / sliced[f"{phase}_cost"]
        sliced[f"{phase}_ideal"] = ideal
        sliced[f"{phase}_ratio"] = sliced[phase] / dense[phase]
        sliced[f"{phase}_of_ideal"] = sliced[phase] / dense[phase] / ideal


def decode_rate(model: torch.nn.Module, batch: int, n_steps: int, context: int) -> float:
    """Tokens/s of decoding with a static cache; on a GPU as a CUDA graph."""
    from transformers import StaticCache

    cache = StaticCache(config=model.config, max_cache_len=context)
    prompt = torch.randint(3, 32000, (batch, 128), device=device())
    model.forward(  # as it comes, also where the model is compiled: it runs once
        input_ids=prompt,
        past_key_values=cache,
        use_cache=True,
        cache_position=torch.arange(128, device=device()),
    )
    token = prompt[:, -1:].clone()
    position = torch.tensor([128], device=device())

    def step() -> None:
        model(
            input_ids=token,
            past_key_values=cache,
            use_cache=True,
            cache_position=position,
            position_ids=position[None],
        )

    return batch / median_seconds(captured(step), n_steps, 5)


def captured(run: Callable[[], Any]) -> Callable[[], Any]:
    """Replay what ``run`` does as a CUDA graph, so that no time goes to launching its kernels."""
    if not torch.cuda.is_available():
        return run
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
