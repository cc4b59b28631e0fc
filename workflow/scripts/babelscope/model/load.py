"""Loading a prepared model with torch, and finding its feed-forward layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from babelscope.model.families import FfnFamily, find_family
from babelscope.model.info import ModelInfo
from babelscope.study.errors import BabelscopeError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class FfnLayer:
    """The linear modules of one feed-forward layer.

    Attributes
    ----------
    up, down : rows of ``up`` and columns of ``down`` are neurons.
    gate : None where the family has none, or keeps it in the first half of ``up``'s rows (``fused_gate``).
    """

    up: nn.Linear
    down: nn.Linear
    gate: nn.Linear | None
    fused_gate: bool

    @property
    def d_ff(self) -> int:
        """Neurons of the layer as it is now."""
        return self.down.weight.shape[1]


def resolve_device(device: str) -> torch.device:
    """``auto`` means a GPU where there is one, the CPU otherwise."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BabelscopeError(f"device {device!r}: torch sees no GPU here; use cpu or auto")
    return torch.device(device)


def load_model(
    info: ModelInfo,
    dtype: str = "float32",
    device: str = "auto",
    device_map: Any = None,
    compile: bool = False,
    gpu_memory_gb: float | None = None,
    **options: Any,
) -> nn.Module:
    """Load a prepared model for inference, from local files alone.

    Parameters
    ----------
    info : the prepared model.
    dtype : ``float32``, ``bfloat16`` or ``float16``.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ignored with a ``device_map``.
    device_map : passed to transformers, to spread a big model over several GPUs.
    gpu_memory_gb : most memory that this process takes of each GPU, 10^9 bytes; None: what is free.
    compile : fuse what lies between the matrix products, see ``compile_norms``.
    options : further keyword arguments of ``from_pretrained``, for instance ``attn_implementation``.

    Returns
    -------
    The model with its output layer, in evaluation mode, without gradients.

    Raises
    ------
    BabelscopeError
        For an unknown dtype, or a GPU that is not there.
    """
    from transformers import AutoModelForCausalLM

    if dtype not in DTYPES:
        raise BabelscopeError(f"dtype {dtype!r}: allowed are {', '.join(DTYPES)}")
    place = resolve_device(device) if device_map is None else None
    if gpu_memory_gb is not None:
        limit_gpu_memory(gpu_memory_gb)
    if device_map is not None:
        options["device_map"] = device_map
    elif place is not None and place.type == "cuda":
        options["device_map"] = {"": place}  # weights go straight there, without a copy on the host
    model = AutoModelForCausalLM.from_pretrained(
        info.path,
        dtype=DTYPES[dtype],
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=info.trust_remote_code,
        **options,
    )
    model.eval().requires_grad_(False)
    if compile:
        compile_norms(model)
    return model


def limit_gpu_memory(gpu_memory_gb: float) -> None:
    """Let this process take at most so much of every GPU, in 10^9 bytes; without a GPU nothing happens.

    Beyond it torch raises ``OutOfMemoryError``, although the card may have more.
    """
    if not torch.cuda.is_available():
        return
    for number in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(number).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gpu_memory_gb * 1e9 / total), number)


def compile_norms(model: nn.Module) -> None:
    """Compile normalisations and rotary embeddings in place, once for all shapes.

    On a GPU these small kernels cost more than their share. The blocks themselves stay as they are, so that
    hooks on their modules see what they always see.
    """
    for module in model.modules():
        name = type(module).__name__
        if "Norm" in name or "RotaryEmbedding" in name:
            module.compile(dynamic=True)


def find_ffn_layers(model: nn.Module, model_type: str | None = None) -> list[FfnLayer]:
    """The feed-forward layers of a model, first to last.

    Raises
    ------
    BabelscopeError
        For an unknown family, or one whose modules are not where the table says.
    """
    model_type = model_type or str(model.config.model_type)  # type: ignore[union-attr]
    names = [name for name, _ in model.named_modules()]
    family = find_family(model_type, names)
    try:
        layers = model.get_submodule(family.layers)
        return [_ffn_layer(layer, family) for layer in layers]  # type: ignore[attr-defined]
    except AttributeError as error:
        raise BabelscopeError(
            f"family {model_type}: {error}. The table in workflow/scripts/babelscope/ffn.py says "
            f"{family}; modules seen: {', '.join(names[1:30])}"
        ) from None


def _ffn_layer(layer: nn.Module, family: FfnFamily) -> FfnLayer:
    gate = layer.get_submodule(family.gate) if family.gate else None
    return FfnLayer(
        up=layer.get_submodule(family.up),  # type: ignore[arg-type]
        down=layer.get_submodule(family.down),  # type: ignore[arg-type]
        gate=gate,  # type: ignore[arg-type]
        fused_gate=family.fused_gate,
    )


def find_blocks(model: nn.Module) -> nn.ModuleList:
    """The blocks (attention and feed-forward layer) of a model, first to last."""
    family = find_family(str(model.config.model_type), ())  # type: ignore[union-attr]
    return model.get_submodule(family.layers)  # type: ignore[return-value]


def base_model(model: nn.Module) -> nn.Module:
    """The model without its output layer."""
    return model.base_model  # type: ignore[return-value]


def input_device(model: nn.Module) -> torch.device:
    """Where token ids have to lie."""
    embeddings = model.get_input_embeddings()  # type: ignore[operator]
    device = embeddings.weight.device
    if device.type == "meta":  # accelerate keeps the weights elsewhere and brings them in for each pass
        return torch.device(embeddings._hf_hook.execution_device)
    return device


def take_neurons(layers: Sequence[FfnLayer], neuron_idx: Sequence[torch.Tensor]) -> None:
    """Keep, in this order, some neurons of every layer: rows of up and gate, columns of down.

    A permutation of all neurons leaves the function of the model as it is; a selection makes the model
    smaller.

    Parameters
    ----------
    layers : changed in place.
    neuron_idx : for each layer int64 (n_kept,), indices of neurons.
    """
    for layer, idx in zip(layers, neuron_idx, strict=True):
        d_ff = layer.d_ff
        up_idx = torch.cat([idx, idx + d_ff]) if layer.fused_gate else idx
        _take_rows(layer.up, up_idx)
        if layer.gate is not None:
            _take_rows(layer.gate, idx)
        layer.down.weight = _parameter(layer.down.weight.index_select(1, idx.to(layer.down.weight.device)))
        layer.down.in_features = len(idx)


def pad_neurons(layer: FfnLayer, width: int) -> None:
    """Widen a layer with neurons of zeros, in place; what it computes stays as it is.

    Parameters
    ----------
    layer : with at most ``width`` neurons.
    width : its new number of neurons.
    """
    extra = width - layer.d_ff
    for linear in (layer.up, layer.gate):
        if linear is None:
            continue
        blocks = 2 if layer.fused_gate else 1
        linear.weight = _parameter(torch.cat([_pad(rows, extra, 0) for rows in linear.weight.chunk(blocks)]))
        if linear.bias is not None:
            linear.bias = _parameter(torch.cat([_pad(rows, extra, 0) for rows in linear.bias.chunk(blocks)]))
        linear.out_features = linear.weight.shape[0]
    layer.down.weight = _parameter(_pad(layer.down.weight, extra, 1))
    layer.down.in_features = width


def _pad(values: torch.Tensor, extra: int, dim: int) -> torch.Tensor:
    shape = list(values.shape)
    shape[dim] = extra
    return torch.cat([values, values.new_zeros(shape)], dim=dim)


def _take_rows(linear: nn.Linear, idx: torch.Tensor) -> None:
    idx = idx.to(linear.weight.device)
    linear.weight = _parameter(linear.weight.index_select(0, idx))
    if linear.bias is not None:
        linear.bias = _parameter(linear.bias.index_select(0, idx))
    linear.out_features = len(idx)


def _parameter(value: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(value.contiguous(), requires_grad=False)
