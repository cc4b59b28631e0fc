"""How near a sliced model comes to its ideal speed: a stack of layers of Llama 2 7B's shape.

    python benchmarks/pruned_speed.py --layers 16      # bfloat16: 0.73 GB a layer, dense and sliced together

Weights are random: this measures speed and nothing else. Every layer keeps a width of its own, 55 to 85 % of
its neurons in whole experts of 43, as a language's experts would have it: as they fall, and as the library
runs them, rounded up with neurons of zeros.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from babelscope.model.load import StudyModel
from babelscope.pruning.pruned_model import PruningPlan
from babelscope.pruning.speed import SpeedSettings, measure_speed
from babelscope.pruning.speed_table import speed_table

ROOT = Path(__file__).resolve().parents[1]
CSV = ROOT / "benchmarks/results/pruned_speed.csv"
D_FF = 11008


def build_stack(n_layers: int) -> torch.nn.Module:
    """Layers of Llama 2 7B's shape with random weights, bfloat16."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=D_FF,
        num_hidden_layers=n_layers,
        num_attention_heads=32,
        num_key_value_heads=32,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        return LlamaForCausalLM(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(torch.float32)


def plan(n_layers: int) -> PruningPlan:
    """Keep the first neurons of each layer: which ones is nothing to speed."""
    rng = np.random.default_rng(0)
    widths = np.array([round(256 * rng.uniform(0.55, 0.85)) * (D_FF // 256) for _ in range(n_layers)])
    return PruningPlan(np.arange(D_FF) < widths[:, None])


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = StudyModel(build_stack(options.layers))
    token_ids = np.random.default_rng(0).integers(3, 32000, 4096)
    rows = []
    for name, multiple in (("as they fall", 1), ("rounded up to multiples of 64", 64)):
        settings = SpeedSettings(prompt_tokens=128, repeats=options.repeats, width_multiple=multiple)
        for row in measure_speed(model, {name: plan(options.layers)}, token_ids, settings):
            rows.append(row)
            print(speed_table([row]).splitlines()[1], flush=True)
    CSV.write_text(speed_table(rows).replace("language,", "widths,"), encoding="utf-8")


if __name__ == "__main__":
    main()
