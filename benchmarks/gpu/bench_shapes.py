"""Models, documents and partitions of the paper's shape, random, and how their work is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from babelscope.experts.partition import ExpertPartition
from babelscope.text.tokens import TokenizedCorpus

LLAMA_7B = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
TINY = LLAMA_7B | {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def take_turns(
    runs: Mapping[str, Callable[[], Any]], repeats: int
) -> Iterator[tuple[dict[str, list[float]], dict[str, float]]]:
    """Run several ways in turn, each once before; after every run the seconds and peak GiB so far."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    peak: dict[str, float] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            times[name].append(median_seconds(run, 1, 0))
            if torch.cuda.is_available():
                peak[name] = torch.cuda.max_memory_allocated() / 2**30
            yield times, peak


def median_seconds(run: Callable[[], Any], repeats: int, warmup: int = 1) -> float:
    """Median over repeats of the time between two device events around ``run``."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeats):
        if torch.cuda.is_available():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        else:
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def measure_rates(tiny: bool) -> dict[str, float]:
    """Ceilings of this machine: bf16 matrix products and copies inside device memory."""
    n = 1024 if tiny else 8192
    a, b = (torch.randn(n, n, dtype=torch.bfloat16, device=device()) for _ in range(2))
    product = median_seconds(lambda: a @ b, 20, 5)
    x = torch.empty(2**24 if tiny else 2**32, dtype=torch.uint8, device=device())
    y = torch.empty_like(x)
    copy = median_seconds(lambda: y.copy_(x), 10, 3)
    return {"bf16_tflops": 2 * n**3 / product / 1e12, "copy_gb_s": 2 * x.numel() / copy / 1e9}


def build_llama(tiny: bool, n_layers: int | None = None) -> torch.nn.Module:
    """A Llama of Llama 2 7B's shape with random weights, bfloat16."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = dict(TINY if tiny else LLAMA_7B)
    if n_layers:
        shape["num_hidden_layers"] = n_layers
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device():
            model = LlamaForCausalLM(LlamaConfig(**shape, attn_implementation="sdpa"))
    finally:
        torch.set_default_dtype(torch.float32)
    return model.eval().requires_grad_(False)


def make_corpus(n_documents: int, length: int, vocabulary: int, ragged: bool) -> TokenizedCorpus:
    """Random documents; ``ragged``: lengths from a quarter of ``length`` to ``length``."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(length // 4, length + 1, n_documents) if ragged else np.full(n_documents, length)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    token_ids = rng.integers(3, vocabulary, offsets[-1]).astype(np.int32)
    flags = np.zeros(n_documents, dtype=bool)
    return TokenizedCorpus(token_ids, offsets, flags, np.ones(n_documents, dtype=np.int32), 1)


def random_partition(n_layers: int, d_ff: int, n_experts: int, seed: int) -> ExpertPartition:
    """Experts of random neurons: their place in memory is all that speed depends on."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.arange(d_ff) % n_experts) for _ in range(n_layers)]
    return ExpertPartition(np.stack(rows).astype(np.int32), n_experts)


def flops_per_token(model: torch.nn.Module, length: int) -> float:
    """Multiply-adds x 2 of the linear modules below the output layer, and of causal attention."""
    config = model.config
    linear = sum(m.weight.numel() for m in model.base_model.modules() if isinstance(m, torch.nn.Linear))
    attention = config.num_hidden_layers * 2 * (length / 2) * config.hidden_size
    return 2.0 * (linear + attention)
