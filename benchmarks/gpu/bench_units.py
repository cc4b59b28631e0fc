"""What neurons' sums and best tokens cost in a recording on a GPU, beside the bare forward pass.

    python benchmarks/gpu/bench_units.py --out DIR             a Llama of Llama 2 7B's shape, random weights
    python benchmarks/gpu/bench_units.py --tiny --out DIR      does it run? on any machine

All ways pass the same documents and take turns; medians, spread and peak memory of each. The file is written
after every measurement.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench_shapes import build_llama, device, make_corpus, random_partition, take_turns

from babelscope.model.load import StudyModel, compile_norms
from babelscope.recording.record import RecordingSettings, make_variants, record_activations
from babelscope.text.batches import make_batches

# Partitions that the default study records in one pass: its own, two controls, two more seeds.
STUDY_PARTITIONS = 5


def ways_to_run(
    study: StudyModel, corpus: Any, n_experts: int, tokens_per_batch: int
) -> dict[str, Callable[[], Any]]:
    """The bare pass, and recordings of one and of five partitions, with and without best tokens."""
    n_layers, d_ff = len(study.layers), study.layers[0].d_ff
    partitions = {
        f"partition_{seed}": random_partition(n_layers, d_ff, n_experts, seed)
        for seed in range(STUDY_PARTITIONS)
    }
    variants = make_variants(partitions, 800 / 8192)
    batches = [
        torch.from_numpy(batch.token_ids).to(device())
        for batch in make_batches(corpus, corpus.profile_idx, tokens_per_batch)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                study.module.base_model(input_ids=batch, use_cache=False)

    def record(n: int, **more: bool) -> Callable[[], Any]:
        settings = RecordingSettings(50, 1000)
        return partial(record_activations, study, corpus, corpus.profile_idx, variants[:n], settings, **more)

    return {
        "bare": bare,
        "recording": record(1),
        "recording, neurons": record(1, neurons=True),
        "recording, neurons, best tokens": record(1, neurons=True, peaks=True),
        "five partitions, neurons": record(STUDY_PARTITIONS, neurons=True),
        "five partitions, neurons, best tokens": record(STUDY_PARTITIONS, neurons=True, peaks=True),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/gpu/results"))
    parser.add_argument("--tokens-per-batch", type=int, default=16000)
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="normalisations compiled")
    parser.add_argument("--tiny", action="store_true", help="small shapes: a dry run on any machine")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model = build_llama(options.tiny)
    if options.compile:
        compile_norms(model)
    study = StudyModel(model, options.tokens_per_batch)
    n_tokens = 2000 if options.tiny else options.tokens
    corpus = make_corpus(n_tokens // 125, 200, 32000, ragged=True)
    runs = ways_to_run(study, corpus, 16 if options.tiny else 256, options.tokens_per_batch)
    for times, peak in take_turns(runs, options.repeats):
        write(options, int(corpus.offsets[-1]), times, peak)


def write(
    options: argparse.Namespace, n_tokens: int, times: dict[str, list[float]], peak: dict[str, float]
) -> None:
    """Write and print what is known so far."""
    medians = {name: statistics.median(values) for name, values in times.items() if values}
    rows = {
        name: {
            "tokens_per_second": n_tokens / seconds,
            "ratio_to_bare": medians["bare"] / seconds,
            "peak_memory_gib": peak.get(name),
            "seconds": times[name],
        }
        for name, seconds in medians.items()
    }
    cost = {}
    for without in ("recording, neurons", "five partitions, neurons"):
        both = (times[f"{without}, best tokens"], times[without])
        # each turn beside its own neighbour: what slows the machine down for a while slows both
        pairs = [seconds / base for seconds, base in zip(*both, strict=False)]
        if pairs:
            cost[without] = {"median": statistics.median(pairs), "pairs": pairs}
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    found = {
        "device": name,
        "torch": torch.__version__,
        "weights": "random (speed and memory only)",
        "tokens": n_tokens,
        "tokens_per_batch": options.tokens_per_batch,
        "compiled_norms": options.compile,
        "ways": rows,
        "time_with_best_tokens_over_without": cost,
    }
    text = json.dumps(found, indent=1)
    (options.out / f"units{'_compiled' if options.compile else ''}.json").write_text(text + "\n")
    if all(len(values) == len(times["bare"]) for values in times.values()):
        print(text, flush=True)


if __name__ == "__main__":
    main()
