"""The study's engines on one GPU, each against its floor.

    python benchmarks/gpu/bench_gpu.py rates recording clustering pruning parity --out DIR

Models are built from a configuration with random weights: they measure speed and memory, nothing else.
Only ``parity`` uses real weights (Gemma 3 270M), from ``--model-dir``. Needs torch, transformers, numpy,
h5py and safetensors; times are medians of repeats between device events.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babelscope.experts.partition import ExpertPartition
from babelscope.model.layers import find_ffn_layers, take_neurons
from babelscope.model.load import StudyModel, compile_norms
from babelscope.recording.record import RecordingSettings, Variant, make_variants, record_activations
from babelscope.text.batches import make_batches
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


# Widths of the feed-forward layers are multiples of this; the dense model keeps its own.
KINDS = {"dense": 0, "uneven": 1, "multiple_of_64": 64, "multiple_of_128": 128}
MODES = ("as_it_comes", "compiled", "decode_compiled")


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


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


def bench_recording(
    tiny: bool, rates: dict[str, float], tokens_per_batch: int, n_million: float
) -> dict[str, Any]:
    """Bare forward pass, recording, and recording of three partitions at once, interleaved.

    First as the model comes, then with compiled normalisations, then one long run of the latter.
    """
    model = build_llama(tiny)
    study = StudyModel(model, tokens_per_batch)
    n_layers, d_ff = len(study.layers), study.layers[0].d_ff
    length = 200
    corpus = make_corpus(max(40, int((0.002 if tiny else 0.1) * 1e6 / length)), length, 32000, ragged=False)
    partitions = {
        f"partition_{seed}": random_partition(n_layers, d_ff, 256 if not tiny else 16, seed)
        for seed in range(3)
    }
    variants = make_variants(partitions, 800 / 8192)
    settings = RecordingSettings(50, 1000)
    batches = [
        torch.from_numpy(b.token_ids).to(device())
        for b in make_batches(corpus, corpus.profile_idx, tokens_per_batch)
    ]
    n_tokens = int(sum(b.numel() for b in batches))

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                model.base_model(input_ids=batch, use_cache=False)

    def record(chosen: list[Variant]) -> Callable[[], Any]:
        return lambda: record_activations(study, corpus, corpus.profile_idx, chosen, settings)

    runs = {"bare": bare, "recording": record(variants[:1]), "recording_3_partitions": record(variants)}
    flops = flops_per_token(model, length)
    tables = {}
    for mode in ("eager", "compiled_norms"):
        if mode == "compiled_norms":
            compile_norms(model)
        tables[mode] = interleave(runs, n_tokens, flops, rates, 2 if tiny else 3)
    long_corpus = make_corpus(int(n_million * 1e6 / length) + 1, length, 32000, ragged=False)
    line = []
    begin, seen = time.perf_counter(), 0

    def on_progress(n: int) -> None:
        nonlocal seen
        seen += n
        line.append((seen, time.perf_counter() - begin))

    record_activations(
        study, long_corpus, long_corpus.profile_idx, variants[:1], settings, on_progress=on_progress
    )
    synchronise()
    seconds = time.perf_counter() - begin
    peak_long = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    return {
        "gflop_per_token": flops / 1e9,
        "tokens_per_batch": tokens_per_batch,
        "variants": tables,
        "long_run": {
            "tokens": seen,
            "seconds": seconds,
            "tokens_per_second": seen / seconds,
            "peak_memory_gib": peak_long,
            "paper_18m_tokens_minutes": 18e6 / (seen / seconds) / 60,
            "line": line[:: max(1, len(line) // 12)],
        },
    }


def interleave(
    runs: dict[str, Callable[[], Any]], n_tokens: int, flops: float, rates: dict[str, float], repeats: int
) -> dict[str, Any]:
    """Rates of several ways to pass the same tokens, which take turns; medians, spread, peak memory."""
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
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        name: {
            "tokens_per_second": n_tokens / seconds,
            "ratio_to_bare": medians["bare"] / seconds,
            "fraction_of_matrix_rate": flops * n_tokens / seconds / 1e12 / rates["bf16_tflops"],
            "peak_memory_gib": peak.get(name),
            "seconds_min_max": [min(times[name]), max(times[name])],
        }
        for name, seconds in medians.items()
    }


def bench_forward_options(tiny: bool, rates: dict[str, float], tokens_per_batch: int) -> dict[str, Any]:
    """What attention kernels, torch.compile and CUDA graphs give the bare pass of 200-token documents."""
    model = build_llama(tiny)
    batch = torch.randint(3, 32000, (max(1, tokens_per_batch // 200), 200), device=device())
    packed = torch.randint(3, 32000, (1, batch.numel()), device=device())
    flops = flops_per_token(model, 200)
    table: dict[str, Any] = {}

    def measure(name: str, run: Callable[[], Any], n_tokens: int) -> None:
        try:
            with torch.inference_mode():
                seconds = median_seconds(run, 5, 3)
            rate = flops * n_tokens / seconds / 1e12
            table[name] = {
                "tokens_per_second": n_tokens / seconds,
                "fraction_of_matrix_rate": rate / rates["bf16_tflops"],
            }
        except Exception as error:
            table[name] = {"failed": f"{type(error).__name__}: {error}"[:200]}

    body = model.base_model
    measure("sdpa", lambda: body(input_ids=batch, use_cache=False), batch.numel())
    if torch.cuda.is_available():
        from torch.nn.attention import SDPBackend, sdpa_kernel

        for backend in (
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.CUDNN_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
            SDPBackend.MATH,
        ):
            with sdpa_kernel(backend):
                measure(f"sdpa {backend.name}", lambda: body(input_ids=batch, use_cache=False), batch.numel())
    positions = torch.arange(200, device=device()).repeat(batch.shape[0])[None]
    measure(
        "packed, position ids restart",
        lambda: body(input_ids=packed, position_ids=positions, use_cache=False),
        packed.numel(),
    )
    if torch.cuda.is_available():
        static = batch.clone()
        with torch.inference_mode():
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                for _ in range(3):
                    body(input_ids=static, use_cache=False)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph):
                    body(input_ids=static, use_cache=False)
                measure("CUDA graph", graph.replay, batch.numel())
            except Exception as error:
                table["CUDA graph"] = {"failed": f"{type(error).__name__}: {error}"[:200]}
        del graph
    compiled = torch.compile(body)
    begin = time.perf_counter()
    measure("torch.compile", lambda: compiled(input_ids=batch, use_cache=False), batch.numel())
    table["torch.compile"]["compile_seconds"] = time.perf_counter() - begin
    return table


def bench_clustering(tiny: bool, all_layers: bool) -> dict[str, Any]:
    """Seconds a layer at 11008 x 4096 and 28672 x 8192, and the CPU's SSE beside it."""
    from babelscope.experts.clustering import cluster_neurons

    where = str(device()) if torch.cuda.is_available() else "cpu-torch"
    table = {}
    cases = {"llama_2_7b": (11008, 4096, 256), "llama_3_70b": (28672, 8192, 256)}
    if tiny:
        cases = {"tiny": (512, 64, 32)}
    for name, (n_rows, n_dims, n_experts) in cases.items():
        rng = np.random.default_rng(0)
        rows = (
            rng.standard_t(5, (n_rows, n_dims)).astype(np.float32)
            if n_rows < 20000
            else (rng.standard_normal((n_rows, n_dims), dtype=np.float32))
        )
        entry: dict[str, Any] = {}
        for repeat in range(3 if n_rows < 20000 else 1):
            begin = time.perf_counter()
            result = cluster_neurons(rows, n_experts, device=where)
            synchronise()
            entry[f"seconds_{repeat}"] = time.perf_counter() - begin
        entry |= {"sse_device": result.sse, "n_swaps": result.n_swaps}
        if name != "llama_3_70b":
            begin = time.perf_counter()
            cpu = cluster_neurons(rows, n_experts, device="cpu")
            entry |= {
                "cpu_seconds": time.perf_counter() - begin,
                "sse_cpu": cpu.sse,
                "sse_ratio": result.sse / cpu.sse,
            }
        if torch.cuda.is_available():
            entry["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        table[name] = entry
    if all_layers and not tiny:
        seconds = []
        for layer in range(32):
            torch.manual_seed(layer)
            drawn = torch.distributions.StudentT(torch.tensor(5.0, device=device())).sample((11008, 4096))
            rows = drawn.cpu().numpy()
            begin = time.perf_counter()
            cluster_neurons(rows, 256, device=where)
            seconds.append(time.perf_counter() - begin)
        table["all_32_layers"] = {"seconds": sum(seconds), "median": statistics.median(seconds)}
    return table


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


def bench_selection() -> dict[str, Any]:
    """The selection kernel against torch.topk: same choice, time of each."""
    from babelscope.recording.scores import select_active

    z = torch.randn(16384, 8192, device=device())
    z[:100] = torch.randn(100, 8192, device=device()).round(decimals=1)  # many ties
    active = select_active(z, 800)
    reference = select_active(z.cpu()[:400], 800)
    return {
        "top_k_each_row": bool((active.sum(dim=1) == 800).all()),
        "equal_to_cpu": bool((active[:400].cpu() == reference).all()),
        "kernel_ms": 1e3 * median_seconds(lambda: select_active(z, 800), 10, 3),
        "torch_topk_ms": 1e3 * median_seconds(lambda: z.topk(800, dim=1, sorted=False), 10, 3),
    }


def bench_parity(model_dir: Path) -> dict[str, Any]:
    """Decisions of Gemma 3 270M in float32 on the GPU against those on the CPU."""
    from babelscope.model.compute import Compute
    from babelscope.model.info import describe_model
    from babelscope.model.load import load_model

    info = describe_model("gemma-3-270m", model_dir, n_layers=18, origin="carried")
    with np.load(model_dir / "parity_inputs.npz") as file:
        corpus = TokenizedCorpus(
            file["token_ids"], file["offsets"], file["heldout"], file["n_bytes"], int(file["bos_token_id"])
        )
        partition = ExpertPartition(file["labels"], int(file["labels"].max()) + 1)
    variants = make_variants({"main": partition}, 800 / 8192)
    # one document a block: a decision that differs shows in the count of its document
    settings = RecordingSettings(1, 1000)
    counts = {}
    for where in ("cpu", str(device())):
        torch.backends.cuda.matmul.allow_tf32 = False
        model = load_model(info, Compute("float32", where, tokens_per_batch=4096))
        begin = time.perf_counter()
        recording = record_activations(model, corpus, corpus.profile_idx, variants, settings)
        counts[where] = recording.counts["main"]
        print(where, time.perf_counter() - begin, "s", file=sys.stderr)
    a, b = counts.values()
    n_decisions = int(a.n_tokens.sum()) * partition.n_layers * partition.n_experts
    differing = int(np.abs(a.n_active - b.n_active).sum())
    return {
        "n_decisions": n_decisions,
        "differing_counts": differing,
        "agreement": 1 - differing / n_decisions,
        "agreement_of_active": 1 - differing / 2 / float(a.n_active.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ["rates", "selection", "recording", "options", "clustering", "pruning", "parity"]
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/gpu/results"))
    parser.add_argument("--tokens-per-batch", type=int, default=16000)
    parser.add_argument("--million", type=float, default=1.0, help="millions of tokens of the long run")
    parser.add_argument("--all-layers", action="store_true")
    parser.add_argument("--layers", type=int, help="layers of the stack for pruned inference; default all")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES[:2], help="of pruned inference")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="dense first")
    parser.add_argument("--model-dir", type=Path)
    parser.add_argument("--tiny", action="store_true", help="small shapes: a dry run on any machine")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    results: dict[str, Any] = {
        "device": name,
        "torch": torch.__version__,
        "weights": "random (speed and memory only)",
    }
    results["rates"] = rates = measure_rates(options.tiny)
    jobs: dict[str, Callable[[], Any]] = {
        "rates": lambda: rates,
        "selection": bench_selection,
        "recording": lambda: bench_recording(options.tiny, rates, options.tokens_per_batch, options.million),
        "options": lambda: bench_forward_options(options.tiny, rates, options.tokens_per_batch),
        "clustering": lambda: bench_clustering(options.tiny, options.all_layers),
        "pruning": lambda: bench_pruning(options.tiny, options.layers, options.modes, options.kinds),
        "parity": lambda: bench_parity(options.model_dir),
    }
    for part in options.parts:
        begin = time.perf_counter()
        try:
            results[part] = jobs[part]()
        except Exception as error:  # one part that fails must not lose the others' numbers
            results[part] = {"failed": f"{type(error).__name__}: {error}"}
            import traceback

            traceback.print_exc()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        shown = json.dumps(results[part], indent=1, default=float)
        print(f"== {part} ({time.perf_counter() - begin:.0f} s)\n{shown}", flush=True)
        file = options.out / f"{'_'.join(options.parts)}.json"
        file.write_text(json.dumps(results, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
