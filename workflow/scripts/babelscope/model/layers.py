"""The feed-forward layers of a model in torch: found by family, cut, widened, and put back as they were."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from babelscope.model.families import FfnFamily, Routing, find_family
from babelscope.study.errors import BabelscopeError


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

    @property
    def linears(self) -> list[nn.Linear]:
        """The modules, each once."""
        return [self.up, self.down, *([self.gate] if self.gate is not None else [])]

    @property
    def n_parameters(self) -> int:
        """Parameters of the modules as they are now."""
        return sum(parameter.numel() for linear in self.linears for parameter in linear.parameters())


def find_ffn_layers(model: nn.Module) -> list[FfnLayer]:
    """The feed-forward layers of a model, first to last.

    Raises
    ------
    BabelscopeError
        For an unknown family, or one whose modules are not where the table says.
    """
    model_type = str(model.config.model_type)  # type: ignore[union-attr]
    names = [name for name, _ in model.named_modules()]
    family = find_family(model_type, names)
    try:
        layers = model.get_submodule(family.layers)
        return [_ffn_layer(layer, family) for layer in layers]  # type: ignore[attr-defined]
    except AttributeError as error:
        raise BabelscopeError(
            f"family {model_type}: {error}. The table in workflow/scripts/babelscope/model/families.py says "
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


@dataclass(frozen=True)
class RoutedLayer:
    """The router and the routed experts of one layer.

    Attributes
    ----------
    number : of the layer, from 0.
    router, experts : the modules as they are; all their parameters and buffers have one row per expert.
    routing : names and order of what the router returns.
    """

    number: int
    router: nn.Module
    experts: nn.Module
    routing: Routing

    @property
    def n_experts(self) -> int:
        """Routed experts of the layer as it is now."""
        return len(self.router.weight)  # type: ignore[arg-type]

    def read(self, output: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """What the router returned, by name: ``choice``, ``weights`` (n_tokens, top_k), maybe ``logits``."""
        return dict(zip(self.routing.output, output, strict=True))


def find_routed_layers(model: nn.Module) -> list[RoutedLayer]:
    """The layers of a model that have a router, first to last; dense ones in between are left out.

    Raises
    ------
    BabelscopeError
        For a family without routed experts, and a model of which no layer has a router.
    """
    model_type = str(model.config.model_type)  # type: ignore[union-attr]
    routing = find_family(model_type, ()).routing
    if routing is None:
        raise BabelscopeError(
            f"experts.method: router: family {model_type} has no routed experts, every layer is dense"
        )
    found = []
    for number, block in enumerate(find_blocks(model)):
        modules = dict(block.named_modules())
        if routing.router in modules and routing.experts in modules:
            found.append(RoutedLayer(number, modules[routing.router], modules[routing.experts], routing))
    if not found:
        raise BabelscopeError(
            f"family {model_type}: no layer has a router at {routing.router}; its config.json makes all dense"
        )
    return found


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
    """Widen a layer with neurons of zeros, in place; its output stays as it is.

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


@dataclass(frozen=True)
class FfnState:
    """The parameters of a model's feed-forward layers at one time, so that they can be put back."""

    modules: tuple[tuple[nn.Linear, torch.Tensor, torch.Tensor | None, int, int], ...]

    @classmethod
    def of(cls, layers: Sequence[FfnLayer]) -> FfnState:
        """State of the layers as they are; nothing is copied."""
        return cls(
            tuple(
                (module, module.weight, module.bias, module.in_features, module.out_features)
                for layer in layers
                for module in layer.linears
            )
        )

    def put_back(self) -> None:
        """Give the layers these parameters again, whatever was cut or added since."""
        for module, weight, bias, n_in, n_out in self.modules:
            module.weight, module.bias = weight, bias  # type: ignore[assignment]
            module.in_features, module.out_features = n_in, n_out


class HostState:
    """The parameters of a model's feed-forward layers in the host's memory: the GPU holds no second set.

    Parameters
    ----------
    layers : copied as they are.
    """

    def __init__(self, layers: Sequence[FfnLayer]) -> None:
        self._modules = [(m, m.in_features, m.out_features) for layer in layers for m in layer.linears]
        self._copies = [
            _HostCopy(module, name) for module, *_ in self._modules for name in ("weight", "bias")
        ]

    @property
    def untouched(self) -> bool:
        """Whether the layers hold the parameters that were copied, or put back last."""
        return all(copy.untouched for copy in self._copies)

    def put_back(self) -> None:
        """Copy the changed matrices back, one after the other."""
        for copy in self._copies:
            if not copy.untouched:
                copy.put_back()
        for module, n_in, n_out in self._modules:
            module.in_features, module.out_features = n_in, n_out


class _HostCopy:
    """One parameter of a module, or its absence."""

    def __init__(self, module: nn.Linear, name: str) -> None:
        self.module, self.name = module, name
        value = getattr(module, name)
        self.value = None if value is None else value.detach().to("cpu", copy=True)
        self.device = None if value is None else value.device
        self._own = None if value is None else weakref.ref(value)  # a reference would keep it on the GPU

    @property
    def untouched(self) -> bool:
        value = getattr(self.module, self.name)
        return value is None if self._own is None else value is not None and self._own() is value

    def put_back(self) -> None:
        setattr(self.module, self.name, None)  # what is there makes room first
        if self.value is not None:
            value = _parameter(self.value.to(self.device, copy=True))
            setattr(self.module, self.name, value)
            self._own = weakref.ref(value)


def fits_twice(layers: Sequence[FfnLayer]) -> bool:
    """Whether the devices of the layers have room for a second set of them, and as much again for batches.

    The host's memory always counts as room: what lies there is shared until it is cut.
    """
    needed: dict[torch.device, int] = {}
    for layer in layers:
        for parameter in (p for module in layer.linears for p in module.parameters()):
            size = parameter.numel() * parameter.element_size()
            needed[parameter.device] = needed.get(parameter.device, 0) + size
    return all(d.type != "cuda" or free_bytes(d) > 2 * n_bytes for d, n_bytes in needed.items())


def free_bytes(device: torch.device) -> int:
    """Bytes that this process may still take of a GPU."""
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    allowed = int(torch.cuda.get_per_process_memory_fraction(device) * total) - reserved
    return min(free, allowed) + reserved - torch.cuda.memory_allocated(device)


@contextmanager
def restored(layers: Sequence[FfnLayer]) -> Iterator[None]:
    """Put the layers' own parameters back at the end, whatever was cut or added within."""
    before = FfnState.of(layers)
    try:
        yield
    finally:
        before.put_back()
