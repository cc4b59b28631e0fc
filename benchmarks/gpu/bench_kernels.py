"""What one layer of a recording costs on a GPU, kernel by kernel, beside one copy of its activations.

    python benchmarks/gpu/bench_kernels.py --out DIR       a layer of Llama 2 7B's width, random activations

Milliseconds of device time, medians of 20 calls, after warming up. Needs a GPU with Triton.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from bench_shapes import median_seconds

from babelscope.recording.document_kernels import best_by_document, sum_by_document
from babelscope.recording.scores import count_active, select_active, standardise, sum_by_product

D_FF, N_EXPERTS, N_LAYERS, TOP_K, N_BEST, N_BLOCKS = 11008, 256, 32, 800, 6, 10
STUDY_PARTITIONS = 5


def measure(n_documents: int, length: int) -> dict[str, float]:
    """Milliseconds of each step, on documents of one length."""
    values = torch.randn(n_documents, length, D_FF, device="cuda").bfloat16()
    counted = torch.ones(n_documents, length, dtype=torch.bool, device="cuda")
    counted[:, 0] = False
    documents = torch.arange(n_documents, device="cuda")
    flat = values.flatten(0, 1)
    z = torch.randn(len(flat), N_LAYERS * N_EXPERTS, device="cuda")
    by_document = z.unflatten(0, (n_documents, length))
    masks = torch.zeros(N_BLOCKS, len(flat), device="cuda")
    masks[0] = 1
    place = torch.empty(len(flat), N_EXPERTS, device="cuda")

    def indicator(n_partitions: int) -> torch.Tensor:
        experts = torch.arange(D_FF, device="cuda") % (n_partitions * N_EXPERTS)
        return torch.nn.functional.one_hot(experts).to(values.dtype)

    one, many = indicator(1), indicator(STUDY_PARTITIONS)
    scores = sum_by_product(flat, one)
    asked = (counted, documents, 1, N_BEST)
    steps: dict[str, Any] = {
        "a layer: copy of its activations": values.clone,
        "a layer: positive gates": lambda: sum_by_document(values, counted, True),
        "a layer: three moments": lambda: sum_by_document(values, counted, False),
        "a layer: best tokens of neurons": lambda: best_by_document(values, *asked, False),
        "a layer: scores of one partition": lambda: sum_by_product(flat, one),
        "a layer: scores of five partitions": lambda: sum_by_product(flat, many),
        "a layer: z-scores": lambda: place.copy_(standardise(scores)),
        "a batch: best tokens of experts": lambda: best_by_document(by_document, *asked, True),
        "a batch: selection": lambda: select_active(z, TOP_K),
        "a batch: selection and counting": lambda: count_active(z, TOP_K, masks),
    }
    return {name: 1e3 * median_seconds(run, 20, 3) for name, run in steps.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/gpu/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"card": torch.cuda.get_device_name()}
    for shape in ((80, 200), (256, 62)):
        name = f"{shape[0]} documents of {shape[1]} tokens"
        found[name] = measure(*shape)
        for step, ms in found[name].items():
            print(f"{name}  {step:40s} {ms:8.3f} ms", flush=True)
    (options.out / "kernels.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
