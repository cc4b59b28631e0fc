"""What benchmarks need to know about the workflow's rules."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def model_rules() -> set[str]:
    """Names of the rules whose jobs run the model: those that ask for the model's GPUs."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    _, *parts = re.split(r"^ *rule (\w+):", text, flags=re.M)
    return {
        name
        for name, body in zip(parts[::2], parts[1::2], strict=True)
        if re.search("gpu=.*model_gpus", body)
    }
