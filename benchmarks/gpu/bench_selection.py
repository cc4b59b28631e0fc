"""Selection and compensation of one language at Llama 2 7B's shape: seconds and memory, layer by layer.

    PYTHONPATH=workflow/scripts python benchmarks/gpu/bench_selection.py --cap 24 --out DIR

Random bfloat16 weights of that shape (or ``--model FOLDER``), random documents of up to 200 tokens, 70 % of
the neurons of each layer kept by second-order selection, columns corrected with a ridge chosen for each.
Losses mean nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_shapes import build_llama, make_corpus, synchronise

from babelscope.model.load import StudyModel, limit_gpu_memory
from babelscope.pruning.compensation import FitSettings, prune_and_compensate
from babelscope.pruning.second_order import choose_second_order


def load(args: argparse.Namespace) -> StudyModel:
    """The model of the folder, or one with random weights."""
    if args.model is None:
        return StudyModel(build_llama(args.tiny), args.tokens_per_batch)
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16, device_map={"": 0})
    return StudyModel(module.eval().requires_grad_(False), args.tokens_per_batch)


def measure(model: StudyModel, args: argparse.Namespace, group: int) -> dict[str, Any]:
    """Cut the whole model once; it is as before afterwards."""
    corpus = make_corpus(args.documents, 200, 32000, ragged=True)
    sizes = [round(args.share * layer.d_ff) for layer in model.layers]
    ends: list[float] = []

    def done(n_tokens: int) -> None:
        synchronise()
        ends.append(time.perf_counter())

    with model.restored():
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        synchronise()
        begin = time.perf_counter()
        documents = np.arange(args.documents)
        choose = choose_second_order(sizes, group=group)
        prune_and_compensate(model, corpus, documents, choose, done, FitSettings(True, True))
        synchronise()
        seconds = time.perf_counter() - begin
    peak = torch.cuda.max_memory_reserved() / 1e9 if torch.cuda.is_available() else 0.0
    return {
        "group": group,
        "documents": args.documents,
        "tokens": len(corpus.token_ids),
        "seconds": round(seconds, 2),
        "per_layer": [round(float(value), 3) for value in np.diff([begin, *ends])],
        "peak_gb": round(peak, 2),
        "cap_gb": args.cap,
    }


def main() -> None:
    """Read the command line; one line of JSON for each size of group."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder of a model of that shape; default: random weights")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of selection.jsonl")
    parser.add_argument("--cap", type=float, help="most memory to take, 10^9 bytes")
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--groups", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--tokens-per-batch", type=int, default=16384)
    parser.add_argument("--tiny", action="store_true", help="three small layers, to try it")
    args = parser.parse_args()
    if args.cap:
        limit_gpu_memory(args.cap)
    args.out.mkdir(parents=True, exist_ok=True)
    model = load(args)
    for group in args.groups:
        line = json.dumps(measure(model, args, group))
        with (args.out / "selection.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
