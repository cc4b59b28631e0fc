"""Compensation of a 7B-shaped model within 24 GB of a GPU, and what TF32 leaves of its Gram matrices.

    python benchmarks/gpu/bench_solving.py --out DIR            # --tiny: a dry run on any machine

Random weights and tokens: speed, memory and rounding alone mean something. Layers keep 45 to 98 % of their
neurons, as budgets leave them: pieces of many sizes are what a GPU's memory breaks into.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_shapes import build_llama, device, make_corpus, synchronise

from babelscope.model.load import StudyModel, limit_gpu_memory
from babelscope.pruning.compensation import FitSettings, prune_and_compensate
from babelscope.pruning.moments import Moments
from babelscope.pruning.second_order import choose_second_order


def bench_compensation(tiny: bool, gpu_memory_gb: float) -> dict[str, Any]:
    """Seconds of each layer, peak memory, and how often memory ran out."""
    study = StudyModel(build_llama(tiny, None if tiny else 32), 16384)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        limit_gpu_memory(gpu_memory_gb)
        torch.cuda.reset_peak_memory_stats()
    corpus = make_corpus(40 if tiny else 1500, 200, 32000, ragged=False)
    d_ff = study.layers[0].d_ff
    sizes = (np.random.default_rng(0).uniform(0.45, 0.98, len(study.layers)) * d_ff).astype(int)
    marks = [time.perf_counter()]

    def mark(_: int) -> None:
        synchronise()
        marks.append(time.perf_counter())

    settings = FitSettings(first_token=True, relative=True)
    documents = np.arange(20 if tiny else 300)
    prune_and_compensate(study, corpus, documents, choose_second_order(sizes), mark, settings)
    found: dict[str, Any] = {"seconds": marks[-1] - marks[0], "by_layer": np.diff(marks).round(3).tolist()}
    if torch.cuda.is_available():
        stats = torch.cuda.memory_stats()
        found["peak_gb"] = stats["allocated_bytes.all.peak"] / 1e9
        found |= {"retries": stats["num_alloc_retries"], "out_of_memory": stats["num_ooms"]}
    return found


def bench_tf32(tiny: bool) -> dict[str, float]:
    """Errors of a Gram matrix of heavy-tailed activations, by the geometric mean of two diagonal entries."""
    torch.manual_seed(0)
    rows = torch.distributions.StudentT(3.0).sample((2048, 688 if tiny else 11008)).to(device())
    rows = rows.bfloat16().float() * torch.rand(len(rows), 1, device=rows.device)
    exact = rows.double().T @ rows.double()
    root = exact.diagonal().sqrt()
    found: dict[str, float] = {}
    for half in (False, True):
        tiles = Moments.tiles(rows, half)
        padded = [torch.nn.functional.pad(tile, (0, rows.shape[1] - tile.shape[1])) for tile in tiles]
        share = (torch.cat(padded).double() - exact).tril().abs() / root[:, None] / root
        name = "tf32" if half else "float32"
        found |= {f"{name}_mean": float(share.mean()), f"{name}_most": float(share.max())}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gpu-memory-gb", type=float, default=24.0)
    parser.add_argument("--tiny", action="store_true", help="small shapes: a dry run on any machine")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}
    results |= {"tf32": bench_tf32(options.tiny)}
    results |= {"compensation": bench_compensation(options.tiny, options.gpu_memory_gb)}
    (options.out / "solving.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
