"""Names of the feed-forward layers of each model family: one small table, no torch.

To add a family, add a row to ``FAMILIES`` under its ``model_type`` (config.json) and run
``python -m pytest tests/model``: the tests build a tiny model for every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class Routing:
    """Where the routed experts of a layer are, and how the router gives its choice.

    Attributes
    ----------
    router, experts : paths of the modules inside one layer. A layer without them is dense. All parameters of
        ``experts``, and of the router, have one row per expert along their first axis.
    stored : the router's weight inside one layer as checkpoints name it, (n_experts, d_model).
    output : what the router returns, in this order; without ``logits`` no entropy is recorded.
    scores : ``softmax`` or ``sigmoid`` of the logits makes the scores of the experts.
    d_expert : entry of config.json with the neurons of one routed expert.
    counts : entries of config.json that may hold the number of routed experts.
    shared : path of the experts that every token runs through; None where there are none.
    """

    router: str
    experts: str
    stored: str
    output: tuple[str, str, str] | tuple[str, str] = ("logits", "weights", "choice")
    scores: str = "softmax"
    d_expert: str = "intermediate_size"
    counts: tuple[str, ...] = ("num_local_experts", "num_experts", "n_routed_experts")
    shared: str | None = None


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
    routing : of families with routed experts, whose ``up`` and ``down`` are the parameters of all experts of
        a layer; None: every layer is dense.
    normalised : whether what the layer says is normalised before it is added to the residual, so that its
        length does not matter.
    """

    layers: str
    up: str
    down: str
    gate: str | None = None
    fused_gate: bool = False
    activation: str = "hidden_act"
    routing: Routing | None = None
    normalised: bool = False

    @property
    def gated(self) -> bool:
        """True where the activation is ``act(gate x) * up x``."""
        return self.fused_gate or self.gate is not None


_GATED = FfnFamily("model.layers", "mlp.up_proj", "mlp.down_proj", gate="mlp.gate_proj")
_GEMMA = FfnFamily(
    "model.layers", "mlp.up_proj", "mlp.down_proj", gate="mlp.gate_proj", activation="hidden_activation"
)


def _routed(routing: Routing) -> FfnFamily:
    """A family whose layers have routed experts with a gate."""
    up, down = f"{routing.experts}.gate_up_proj", f"{routing.experts}.down_proj"
    return FfnFamily("model.layers", up, down, fused_gate=True, routing=routing)


_FUSED = FfnFamily("model.layers", "mlp.gate_up_proj", "mlp.down_proj", fused_gate=True)
_QWEN = Routing("mlp.gate", "mlp.experts", "mlp.gate.weight", d_expert="moe_intermediate_size")
_OLMOE = replace(_QWEN, d_expert="intermediate_size")
_DEEPSEEK = replace(_QWEN, scores="sigmoid", shared="mlp.shared_experts")
_GRANITE = Routing(
    "block_sparse_moe.router",
    "block_sparse_moe.experts",
    "block_sparse_moe.router.layer.weight",
    output=("choice", "weights", "logits"),
)

FAMILIES: dict[str, FfnFamily] = {
    "llama": _GATED,
    "mistral": _GATED,
    "qwen2": _GATED,
    "qwen3": _GATED,
    "gemma": _GATED,
    "gemma2": replace(_GEMMA, normalised=True),
    "gemma3_text": replace(_GEMMA, normalised=True),
    "phi3": _FUSED,
    "bloom": FfnFamily(
        "transformer.h", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", activation="(fixed: gelu_pytorch_tanh)"
    ),
    "gpt_neox": FfnFamily("gpt_neox.layers", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    "opt": FfnFamily("model.decoder.layers", "fc1", "fc2", activation="activation_function"),
    "xglm": FfnFamily("model.layers", "fc1", "fc2", activation="activation_function"),
    "mixtral": _routed(Routing("mlp.gate", "mlp.experts", "block_sparse_moe.gate.weight")),
    "qwen2_moe": _routed(replace(_QWEN, shared="mlp.shared_expert")),
    "qwen3_moe": _routed(_QWEN),
    "olmoe": _routed(_OLMOE),
    "flex_olmo": _routed(_OLMOE),
    "gpt_oss": _routed(Routing("mlp.router", "mlp.experts", "mlp.router.weight")),
    "phimoe": _routed(Routing("mlp.router", "mlp.experts", "block_sparse_moe.gate.weight")),
    "deepseek_v3": _routed(_DEEPSEEK),
    "glm4_moe": _routed(_DEEPSEEK),
    "dots1": _routed(_DEEPSEEK),
    "granitemoe": _routed(_GRANITE),
    "granitemoeshared": _routed(replace(_GRANITE, shared="shared_mlp")),
}
DENSE_FAMILIES = tuple(name for name, row in FAMILIES.items() if row.routing is None)
ROUTED_FAMILIES = tuple(name for name, row in FAMILIES.items() if row.routing is not None)


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
