"""A pruned model as a plan: the neurons that stay, and the corrected columns that read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

import babelscope
from babelscope.files.whole import whole_file
from babelscope.model.info import ModelInfo
from babelscope.model.layers import FfnLayer
from babelscope.pruning.compensation import LayerFit
from babelscope.pruning.cut import prune
from babelscope.study.errors import BabelscopeError

_FORMAT = {"format": "babelscope/pruned", "format_version": "2"}
_OF_FITS = ("ridge", "unexplained", "weight")  # by layer, in the metadata
_AHEAD = 4  # layers that are read and checked at once: a digest is the slowest part of reading


@dataclass(frozen=True)
class PruningPlan:
    """A pruned model, relative to the dense one.

    Attributes
    ----------
    keep : bool (n_layers, d_ff), the neurons that stay.
    down : for each layer (d_model, n_kept) in the model's own type, the corrected columns of the down
        projection in ascending order of the neurons; empty for plain removal. Those of a file are read layer
        by layer, a few ahead of the one that is asked for.
    """

    keep: np.ndarray
    down: Sequence[torch.Tensor] = ()

    def __post_init__(self) -> None:
        if isinstance(self.down, _StoredColumns):  # read_plan has looked at the shapes
            return
        if self.down and [c.shape[1] for c in self.down] != self.keep.sum(axis=1).tolist():
            raise BabelscopeError(
                f"corrected columns of {[c.shape[1] for c in self.down]} neurons for layers that keep "
                f"{self.keep.sum(axis=1).tolist()}"
            )

    @property
    def neuron_idx(self) -> list[np.ndarray]:
        """The neurons that stay, for each layer int64 (n_kept,), ascending."""
        return [np.flatnonzero(row) for row in self.keep]


def apply_plan(layers: Sequence[FfnLayer], plan: PruningPlan) -> None:
    """Cut a dense model's layers in place, and put the corrected columns in.

    Parameters
    ----------
    layers : the model's feed-forward layers, with all neurons.
    plan : of the same model.
    """
    if plan.keep.shape != (len(layers), layers[0].d_ff):
        raise BabelscopeError(
            f"a plan for {plan.keep.shape} (layers, neurons) on a model of {len(layers)} x {layers[0].d_ff}"
        )
    prune(layers, plan.neuron_idx)
    for layer, columns in zip(layers, plan.down, strict=bool(plan.down)):
        old = layer.down.weight
        new = columns.to(device=old.device, dtype=old.dtype)
        layer.down.weight = nn.Parameter(new, requires_grad=False)


class _StoredColumns(Sequence[torch.Tensor]):
    """Corrected columns in a file; a few layers are in memory at a time."""

    def __init__(self, path: Path, n_layers: int, digests: Mapping[str, str]) -> None:
        self.path, self.n_layers, self.digests = path, n_layers, digests

    def __len__(self) -> int:
        return self.n_layers

    def __iter__(self) -> Iterator[torch.Tensor]:
        with ThreadPoolExecutor(_AHEAD) as pool:
            layers = iter(range(self.n_layers))
            waiting = [pool.submit(self.__getitem__, layer) for layer in islice(layers, _AHEAD)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(self.__getitem__, layer) for layer in islice(layers, 1)]

    def __getitem__(self, layer: Any) -> Any:
        if not 0 <= layer < self.n_layers:
            raise IndexError(layer)
        with safe_open(self.path, framework="pt") as file:
            columns = file.get_tensor(f"down.{layer}")
        _check_tensor(self.path, f"down.{layer}", columns, self.digests)
        return columns


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().data).hexdigest()


def _check_tensor(path: str | Path, name: str, tensor: torch.Tensor, digests: Mapping[str, str]) -> None:
    if _digest(tensor) != digests.get(name):
        raise BabelscopeError(f"{path}: damaged ({name} does not match its SHA-256); {_remake(path)}")


def _remake(path: str | Path) -> str:
    return f"delete {path} and run again: rule compensate makes it"


def _seal(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode()).hexdigest()


def write_plan(
    path: str | Path,
    plan: PruningPlan,
    fits: Sequence[LayerFit],
    model: str,
    target: str,
    languages: Sequence[str],
    **parameters: Any,
) -> None:
    """Write ``pruned/{target}.safetensors``, whole or not at all.

    Parameters
    ----------
    path, plan : the file, and what goes into it: ``keep`` bool (n_layers, d_ff), and ``down.{layer}``
        (d_model, n_kept) in the type of the plan's columns, none for plain removal.
    fits : of the compensation, kept in the metadata; may be empty.
    model, target, languages : what the file is asked for by.
    parameters : that made the plan.
    """
    tensors = {"keep": torch.from_numpy(np.ascontiguousarray(plan.keep, dtype=bool))}
    for layer, columns in enumerate(plan.down):
        tensors[f"down.{layer}"] = columns.detach().cpu().contiguous()
    metadata = {
        **_FORMAT,
        "created_by": f"babelscope {babelscope.__version__}",
        "model": model,
        "target": target,
        "languages": json.dumps(list(languages)),
        "parameters": json.dumps(parameters),
        **{
            name: json.dumps([getattr(fit, name) for fit in fits])
            for name in ("ridge", "unexplained", "weight")
        },
    }
    with ThreadPoolExecutor(_AHEAD) as pool:
        digests = dict(zip(tensors, pool.map(_digest, tensors.values()), strict=True))
    metadata["sha256"] = json.dumps(digests)
    metadata["seal"] = _seal(metadata)
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise BabelscopeError(f"{path}: could not be written ({error})") from error


def read_plan(path: str | Path, info: ModelInfo, target: str, **parameters: Any) -> PruningPlan:
    """Open ``pruned/{target}.safetensors``; ``keep`` is read, corrected columns when they are asked for.

    Parameters
    ----------
    path : the file.
    info, target : the model, and the language or union of languages that the file must be of.
    parameters : some of those that the file must have been made with.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, of another model, target or parameter, or of other shapes than the
        model's.
    """
    remake = _remake(path)
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule compensate makes it")
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
            wanted = {**_FORMAT, "model": info.name, "target": target}
            for name, value in wanted.items():
                if found.get(name) != value:
                    raise BabelscopeError(f"{path}: {name} is {found.get(name)!r}, need {value!r}; {remake}")
            if found.pop("seal", None) != _seal(found):
                raise BabelscopeError(f"{path}: damaged (its metadata do not match their SHA-256); {remake}")
            made = json.loads(found["parameters"])
            for name, value in parameters.items():
                if made.get(name) != value:
                    raise BabelscopeError(
                        f"{path}: made with {name} = {made.get(name)!r}, this run has {value!r}; {remake}"
                    )
            digests = json.loads(found["sha256"])
            names = set(file.keys())
            stored = file.get_tensor("keep")
            _check_tensor(path, "keep", stored, digests)
            keep = stored.numpy()
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        if isinstance(error, BabelscopeError):
            raise
        raise BabelscopeError(f"{path}: damaged or no safetensors file ({error}); {remake}") from error
    expected = {"keep": (info.n_layers, info.d_ff)}
    columns = {f"down.{layer}": (info.d_model, int(row.sum())) for layer, row in enumerate(keep)}
    if keep.dtype != bool or shapes not in (expected, expected | columns):
        raise BabelscopeError(
            f"{path}: needs keep, bool {expected['keep']}, and either a corrected down.{{layer}} of "
            f"({info.d_model}, neurons kept) for every layer or none; {remake}"
        )
    return PruningPlan(keep, _StoredColumns(Path(path), info.n_layers, digests) if len(names) > 1 else ())


def read_plans(
    paths: Iterable[str | Path], info: ModelInfo, targets: Iterable[str], **parameters: Any
) -> dict[str, PruningPlan]:
    """Open the pruned models of several targets, one file each, in this order; see ``read_plan``."""
    pairs = zip(targets, paths, strict=True)
    return {target: read_plan(path, info, target, **parameters) for target, path in pairs}
