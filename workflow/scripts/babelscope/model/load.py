"""A prepared model in torch: loaded from its folder, with its feed-forward layers at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from babelscope.model.compute import Compute
from babelscope.model.families import find_family
from babelscope.model.info import ModelInfo
from babelscope.model.layers import (
    HostState,
    find_blocks,
    find_ffn_layers,
    find_routed_layers,
    fits_twice,
    restored,
)
from babelscope.model.packed import pack_layers
from babelscope.study.collector import paused_collector
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger, since_start


class StudyModel:
    """A model with its output layer, as the study uses it.

    Parameters
    ----------
    module : a Hugging Face model of a known family.
    tokens_per_batch : rows x length of a batch to begin with.

    Attributes
    ----------
    module : the model.
    layers : its feed-forward layers, first to last; empty where layers have routed experts.
    routed : its layers with a router, first to last; empty where all layers are dense.
    blocks : its blocks (attention and feed-forward layer), first to last.
    tokens_per_batch : rows x length of a batch; becomes smaller where memory runs out.

    Raises
    ------
    BabelscopeError
        For an unknown family, or one whose modules are not where the table says.
    """

    def __init__(self, module: nn.Module, tokens_per_batch: int = Compute.tokens_per_batch) -> None:
        self.module = module
        names = (name for name, _ in module.named_modules())
        has_routers = find_family(str(module.config.model_type), names).routing is not None  # type: ignore[union-attr]
        self.layers = [] if has_routers else find_ffn_layers(module)
        self.routed = find_routed_layers(module) if has_routers else []
        self.blocks = find_blocks(module)
        self.tokens_per_batch = tokens_per_batch
        self._dense: HostState | None = None

    @property
    def device(self) -> torch.device:
        """Where token ids have to lie."""
        embeddings = self.module.get_input_embeddings()  # type: ignore[operator]
        device = embeddings.weight.device
        if device.type == "meta":  # accelerate keeps the weights elsewhere and brings them in for each pass
            return torch.device(embeddings._hf_hook.execution_device)
        return device

    @property
    def base(self) -> nn.Module:
        """The model without its output layer."""
        return self.module.base_model  # type: ignore[return-value]

    @property
    def head(self) -> nn.Linear:
        """The output layer."""
        return self.module.get_output_embeddings()  # type: ignore[operator]

    def hidden(self, token_ids: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Last hidden states; the output layer is not computed.

        Parameters
        ----------
        token_ids : int64 (n_documents, length).

        Returns
        -------
        (n_documents, length, d_model), in the model's type.
        """
        ids = to_device(token_ids, self.device) if isinstance(token_ids, np.ndarray) else token_ids
        with torch.inference_mode():
            return self.base(input_ids=ids, use_cache=False)[0]

    @contextmanager
    def activations(self, see: Callable[[int, torch.Tensor], object]) -> Iterator[None]:
        """Within, call ``see`` with what enters every down projection.

        Parameters
        ----------
        see : gets the number of the layer and its activations (n_tokens, d_ff), where they lie.
        """

        def before_down(number: int) -> Callable[..., None]:
            def look(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
                see(number, args[0].reshape(-1, args[0].shape[-1]))

            return look

        hooks = [layer.down.register_forward_pre_hook(before_down(i)) for i, layer in enumerate(self.layers)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put the feed-forward layers' own parameters back at the end, whatever was cut or added within.

        Where a GPU has no room for a second set of them, they wait in the host's memory.
        """
        if self._dense is None and fits_twice(self.layers):
            with restored(self.layers):
                yield
            return
        dense = self._dense
        if dense is None or not dense.untouched:
            self._dense = dense = HostState(self.layers)
        try:
            yield
        finally:
            dense.put_back()


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy without making the host wait for the device."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def load_model(
    info: ModelInfo, compute: Compute | None = None, *, many_tokens: bool = False, **options: Any
) -> StudyModel:
    """Load a prepared model for inference, from local files alone.

    Parameters
    ----------
    info : the prepared model.
    compute : type, device, size of batches; None: float32 on a GPU where there is one.
    many_tokens : whether it reads many documents and its weights change seldom: on the CPU its linear layers
        then take ``pack_layers``.
    options : further keyword arguments of ``from_pretrained``, for instance ``attn_implementation``.

    Returns
    -------
    The model with its output layer, in evaluation mode, without gradients.

    Raises
    ------
    BabelscopeError
        For a GPU that is not there.
    """
    compute = compute or Compute()
    place = resolve_device(compute.device) if compute.device_map is None else None
    if compute.gpu_memory_gb is not None:
        limit_gpu_memory(compute.gpu_memory_gb)
    if compute.device_map is not None:
        options["device_map"] = compute.device_map
    elif place is not None and place.type == "cuda":
        options["device_map"] = {"": place}  # weights go straight there, without a copy on the host
    with paused_collector():
        from transformers import AutoModelForCausalLM

        module = AutoModelForCausalLM.from_pretrained(
            info.path,
            dtype=getattr(torch, compute.dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=info.trust_remote_code,
            **options,
        )
    module.eval().requires_grad_(False)
    logger.info("weights on %s %s s after the start of the job", place or compute.device_map, since_start())
    if compute.compile:
        compile_norms(module)
    if many_tokens and compute.device_map is None:
        pack_layers(module)
    return StudyModel(module, compute.tokens_per_batch)


def resolve_device(device: str) -> torch.device:
    """``auto`` means a GPU where there is one, the CPU otherwise."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BabelscopeError(f"device {device!r}: torch sees no GPU here; use cpu or auto")
    return torch.device(device)


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
