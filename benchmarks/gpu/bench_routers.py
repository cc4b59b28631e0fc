"""Recording which routed experts a mixture of experts chooses, beside its bare forward pass, on one GPU.

    PYTHONPATH=workflow/scripts python benchmarks/gpu/bench_routers.py --out DIR
    PYTHONPATH=workflow/scripts python benchmarks/gpu/bench_routers.py --shapes tiny --out DIR      # on a CPU

Models have the shapes of OLMoE-1B-7B and Qwen3-30B-A3B and random bfloat16 weights: speed and memory alone
mean something. The bare pass, the recording of choices, and that of a study, which also keeps the best tokens
of every expert, take turns. ``--whole`` also saves the first model and records three languages from the
folder, each with a load of its own, as the jobs of a study do.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_shapes import device, make_corpus, median_seconds, synchronise

from babelscope.experts.routed import RoutedExperts, find_routed_experts
from babelscope.model.compute import Compute
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel
from babelscope.recording.record import RecordingSettings, Variant, record_activations, record_language
from babelscope.text.batches import make_batches

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "class": "Olmoe",
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "vocab_size": 1000,
    },
    "olmoe-1b-7b": {
        "class": "Olmoe",
        "hidden_size": 2048,
        "intermediate_size": 1024,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "vocab_size": 50304,
    },
    "qwen3-30b-a3b": {
        "class": "Qwen3Moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
        "vocab_size": 151936,
    },
}
SETTINGS = RecordingSettings(20, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["olmoe-1b-7b", "qwen3-30b-a3b"])
    parser.add_argument("--tokens-per-batch", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--thousand-tokens", type=int, default=130, help="in each pass")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole", type=Path, help="folder for the first model's weights; removed at the end")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "dtype": "bfloat16"}
    for shape in args.shapes:
        begin = time.perf_counter()
        module = build(SHAPES[shape])
        synchronise()
        found[shape] = {"parameters": sum(p.numel() for p in module.parameters())}
        found[shape]["seconds_to_build"] = time.perf_counter() - begin
        for tokens_per_batch in args.tokens_per_batch:
            found[shape][f"batches of {tokens_per_batch}"] = compare(module, tokens_per_batch, args)
            write(args.out, found)
        if args.whole and shape == args.shapes[0]:
            found[shape]["whole"] = record_from_folder(module, args.whole)
            write(args.out, found)
        del module
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    write(args.out, found)


def write(out: Path, found: dict[str, Any]) -> None:
    text = json.dumps(found, indent=1)
    (out / "routers.json").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)


def build(shape: dict[str, Any]) -> torch.nn.Module:
    """A model of a shape with random bfloat16 weights, where it will run."""
    import transformers

    shape = dict(shape)
    kind = shape.pop("class")
    config = getattr(transformers, f"{kind}Config")(**shape, max_position_embeddings=4096, bos_token_id=1)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device():
            model = getattr(transformers, f"{kind}ForCausalLM")(config)
    finally:
        torch.set_default_dtype(torch.float32)
    return model.eval().requires_grad_(False)


def partition_of(model: StudyModel, d_expert: int = 1) -> RoutedExperts:
    counts = [0] * len(model.blocks)
    for layer in model.routed:
        counts[layer.number] = layer.n_experts
    return RoutedExperts(tuple(counts), model.module.config.num_experts_per_tok, d_expert)


def compare(module: torch.nn.Module, tokens_per_batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """Rates and peak memory of the bare pass and of the recording, which take turns."""
    study = StudyModel(module, tokens_per_batch)
    partition = partition_of(study)
    corpus = make_corpus(1000 * args.thousand_tokens // 200, 199, module.config.vocab_size, ragged=False)
    batches = [
        torch.from_numpy(batch.token_ids).to(device())
        for batch in make_batches(corpus, corpus.profile_idx, tokens_per_batch)
    ]
    n_tokens = int(sum(batch.numel() for batch in batches))

    def bare() -> None:
        for batch in batches:
            study.hidden(batch)

    def record(peaks: bool = False) -> None:
        variants = [Variant("main", partition, partition.top_k)]
        record_activations(study, corpus, corpus.profile_idx, variants, SETTINGS, peaks=peaks)

    runs = {"bare": bare, "recording": record, "with best tokens": lambda: record(peaks=True)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    peak: dict[str, float] = {}
    for run in runs.values():
        run()
    for number in range(args.repeats):
        for name in sorted(runs, reverse=bool(number % 2)):
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            times[name].append(median_seconds(runs[name], 1, 0))
            if torch.cuda.is_available():
                peak[name] = torch.cuda.max_memory_allocated() / 2**30
    medians = {name: statistics.median(values) for name, values in times.items()}
    others = [name for name in runs if name != "bare"]
    return {
        "tokens": n_tokens,
        "ratio_to_bare": {name: medians["bare"] / medians[name] for name in others},
        "ratio_of_each_pair": {
            name: [a / b for a, b in zip(times["bare"], times[name], strict=True)] for name in others
        },
        "tokens_per_second": {name: n_tokens / seconds for name, seconds in medians.items()},
        "peak_memory_gib": peak,
        "experts_implementation": module.config._experts_implementation,
    }


def record_from_folder(module: torch.nn.Module, folder: Path) -> dict[str, float]:
    """Seconds to save a model, to describe it (a digest of all weights), and to record three languages of it.

    Each language is 600 documents of 200 tokens, and loads the model for itself.
    """
    seconds: dict[str, float] = {}
    begin = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal begin
        synchronise()
        seconds[name] = time.perf_counter() - begin
        begin = time.perf_counter()

    try:
        module.save_pretrained(folder)
        lap("save")
        info = describe_model("random", folder)
        partition = find_routed_experts(info)
        lap("describe")
        compute = Compute(dtype="bfloat16", tokens_per_batch=16384)
        corpus = make_corpus(600, 199, module.config.vocab_size, ragged=False)
        variants = [Variant("main", partition, partition.top_k)]
        for number in range(3):
            said = (info, compute, corpus, np.arange(600), variants, SETTINGS)
            record_language(*said, output=folder / f"{number}.h5")
            lap(f"record language {number}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return seconds


if __name__ == "__main__":
    main()
