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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_pruning import KINDS, MODES, bench_pruning
from bench_shapes import (
    build_llama,
    device,
    flops_per_token,
    make_corpus,
    measure_rates,
    median_seconds,
    random_partition,
    synchronise,
    take_turns,
)

from babelscope.experts.partition import ExpertPartition
from babelscope.model.load import StudyModel, compile_norms
from babelscope.recording.record import RecordingSettings, Variant, make_variants, record_activations
from babelscope.text.batches import make_batches
from babelscope.text.tokens import TokenizedCorpus


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
    *_, (times, peak) = take_turns(runs, repeats)
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
