"""Where the feed-forward layers of each model family are: one small table, no torch.

To add a family, add a row to ``FAMILIES`` under its ``model_type`` (config.json) and run
``python -m pytest tests/model``: the tests build a tiny model for every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class FfnFamily:
    """Paths of the modules that make up one feed-forward layer.

    Attributes
    ----------
    layers : path of the list of layers inside the model with its output layer.
    up, down : paths inside one layer. ``up`` has one row per neuron, ``down`` one column per neuron.
    gate : path of the gate inside one layer; None where the family has none.
    fused_gate : True where ``up`` holds the gate's rows first and then the up rows (Phi-3).
    activation : name of the config entry that names the activation function.
    """

    layers: str
    up: str
    down: str
    gate: str | None = None
    fused_gate: bool = False
    activation: str = "hidden_act"

    @property
    def gated(self) -> bool:
        """True where the activation is ``act(gate x) * up x``."""
        return self.fused_gate or self.gate is not None


_GATED = FfnFamily("model.layers", "mlp.up_proj", "mlp.down_proj", gate="mlp.gate_proj")
_GEMMA = FfnFamily(
    "model.layers", "mlp.up_proj", "mlp.down_proj", gate="mlp.gate_proj", activation="hidden_activation"
)
_FUSED = FfnFamily("model.layers", "mlp.gate_up_proj", "mlp.down_proj", fused_gate=True)

FAMILIES: dict[str, FfnFamily] = {
    "llama": _GATED,
    "mistral": _GATED,
    "qwen2": _GATED,
    "qwen3": _GATED,
    "gemma": _GATED,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "phi3": _FUSED,
    "bloom": FfnFamily(
        "transformer.h", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", activation="(fixed: gelu_pytorch_tanh)"
    ),
    "gpt_neox": FfnFamily("gpt_neox.layers", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    "opt": FfnFamily("model.decoder.layers", "fc1", "fc2", activation="activation_function"),
    "xglm": FfnFamily("model.layers", "fc1", "fc2", activation="activation_function"),
}


def find_family(model_type: str, seen_modules: Iterable[str]) -> FfnFamily:
    """Return the table's row for a ``model_type``.

    Parameters
    ----------
    model_type : ``model_type`` of the model's config.json.
    seen_modules : names of modules or weights of the model, shown where the family is unknown.

    Raises
    ------
    BabelscopeError
        Where the table has no row, with the names seen and where a row is added.
    """
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    seen = sorted(set(seen_modules))
    shown = ", ".join(seen[:40]) + (" …" if len(seen) > 40 else "")
    raise BabelscopeError(
        f"model_type {model_type!r} is not in the table of families ({', '.join(sorted(FAMILIES))}). "
        f"Add a row to FAMILIES in workflow/scripts/babelscope/model/families.py (docs/extending.md). "
        f"Modules seen: {shown}"
    )
