"""A pruned model as a plan: the neurons that stay, and the weights that were changed after the cut."""

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
from babelscope.model.families import find_family
from babelscope.model.info import ModelInfo
from babelscope.model.layers import FfnLayer
from babelscope.pruning.compensation import LayerFit
from babelscope.pruning.cut import prune
from babelscope.study.errors import BabelscopeError

_AHEAD = 4  # layers that are read and checked at once: a digest is the slowest part of reading
MATRICES = ("down", "up", "gate")  # as ``FfnLayer`` and ``PruningPlan`` name them


@dataclass(frozen=True)
class PlanKind:
    """A kind of file that holds a plan.

    Attributes
    ----------
    name, version : of the format.
    rule : that makes it.
    matrices : of ``MATRICES``, those that it has for every layer.
    may_lack : whether they may be missing altogether: plain removal.
    """

    name: str
    version: int
    rule: str
    matrices: tuple[str, ...]
    may_lack: bool = False

    @property
    def format(self) -> dict[str, str]:
        """Metadata that say what a file is."""
        return {"format": f"babelscope/{self.name}", "format_version": str(self.version)}


PRUNED = PlanKind("pruned", 2, "compensate", ("down",), may_lack=True)
DISTILLED = PlanKind("distilled", 1, "distil", MATRICES)


@dataclass(frozen=True)
class PruningPlan:
    """A pruned model, relative to the dense one.

    Attributes
    ----------
    keep : bool (n_layers, d_ff), the neurons that stay.
    down : for each layer (d_model, n_kept) in the model's own type, the corrected columns of the down
        projection in ascending order of the neurons; empty for plain removal. Those of a file are read layer
        by layer, a few ahead of the one that is asked for.
    up, gate : the same of distilled models, rows (n_kept, d_model); ``up`` has the gate's rows first where
        the family keeps it there (2 n_kept, d_model). Empty: those of the dense model.
    """

    keep: np.ndarray
    down: Sequence[torch.Tensor] = ()
    up: Sequence[torch.Tensor] = ()
    gate: Sequence[torch.Tensor] = ()

    def __post_init__(self) -> None:
        if isinstance(self.down, _StoredMatrices):  # read_plan has looked at the shapes
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
    """Cut a dense model's layers in place, and put the changed weights in.

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
    for name in MATRICES:
        matrices = getattr(plan, name)
        for layer, matrix in zip(layers, matrices, strict=bool(matrices)):
            linear = getattr(layer, name)
            new = matrix.to(device=linear.weight.device, dtype=linear.weight.dtype)
            linear.weight = nn.Parameter(new, requires_grad=False)


class _StoredMatrices(Sequence[torch.Tensor]):
    """One matrix of each layer in a file; a few layers are in memory at a time."""

    def __init__(self, file: _PlanFile, name: str, n_layers: int, digests: Mapping[str, str]) -> None:
        self.file, self.name, self.n_layers, self.digests = file, name, n_layers, digests

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
        name = f"{self.name}.{layer}"
        with safe_open(self.file.path, framework="pt") as opened:
            matrix = opened.get_tensor(name)
        self.file.check(name, matrix, self.digests)
        return matrix


@dataclass(frozen=True)
class _PlanFile:
    """A file, and the kind that it has to be of."""

    path: Path
    kind: PlanKind

    def error(self, fault: str) -> BabelscopeError:
        """What is wrong, and what to do."""
        remake = f"delete {self.path} and run again: rule {self.kind.rule} makes it"
        return BabelscopeError(f"{self.path}: {fault}; {remake}")

    def check(self, name: str, tensor: torch.Tensor, digests: Mapping[str, str]) -> None:
        if _digest(tensor) != digests.get(name):
            raise self.error(f"damaged ({name} does not match its SHA-256)")


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().data).hexdigest()


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
    found = {name: [getattr(fit, name) for fit in fits] for name in ("ridge", "unexplained", "weight")}
    _write(path, PRUNED, plan, found, parameters, model, target, languages)


def write_distilled(
    path: str | Path, plan: PruningPlan, losses: Sequence[float], *asked: Any, **parameters: Any
) -> None:
    """Write ``distilled/{target}.safetensors``: as ``write_plan``, with ``up.{layer}`` and ``gate.{layer}``.

    Parameters
    ----------
    path, plan : the file, and the trained weights.
    losses : on the validation documents, before the first epoch and after each; kept in the metadata.
    asked, parameters : model, target and languages, and what made the plan, as for ``write_plan``.
    """
    _write(path, DISTILLED, plan, {"losses": list(losses)}, parameters, *asked)


def _write(
    path: str | Path,
    kind: PlanKind,
    plan: PruningPlan,
    found: Mapping[str, Any],
    parameters: Mapping[str, Any],
    model: str,
    target: str,
    languages: Sequence[str],
) -> None:
    tensors = {"keep": torch.from_numpy(np.ascontiguousarray(plan.keep, dtype=bool))}
    for name in kind.matrices:
        for layer, matrix in enumerate(getattr(plan, name)):
            tensors[f"{name}.{layer}"] = matrix.detach().cpu().contiguous()
    metadata = {
        **kind.format,
        "created_by": f"babelscope {babelscope.__version__}",
        "model": model,
        "target": target,
        "languages": json.dumps(list(languages)),
        "parameters": json.dumps(parameters),
        **{name: json.dumps(value) for name, value in found.items()},
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


def read_plan(
    path: str | Path, info: ModelInfo, target: str, kind: PlanKind = PRUNED, **parameters: Any
) -> PruningPlan:
    """Open ``pruned/{target}.safetensors``, or a file of another kind; matrices are read when asked for.

    Parameters
    ----------
    path : the file.
    info, target : the model, and the language or union of languages that the file must be of.
    kind : that the file must be of.
    parameters : some of those that the file must have been made with.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, of another kind, model, target or parameter, or of other shapes
        than the model's.
    """
    wanted_file = _PlanFile(Path(path), kind)
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule {kind.rule} makes it")
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
            wanted = {**kind.format, "model": info.name, "target": target}
            for name, value in wanted.items():
                if found.get(name) != value:
                    raise wanted_file.error(f"{name} is {found.get(name)!r}, need {value!r}")
            if found.pop("seal", None) != _seal(found):
                raise wanted_file.error("damaged (its metadata do not match their SHA-256)")
            made = json.loads(found["parameters"])
            for name, value in parameters.items():
                if made.get(name) != value:
                    raise wanted_file.error(f"made with {name} = {made.get(name)!r}, this run has {value!r}")
            digests = json.loads(found["sha256"])
            stored = file.get_tensor("keep")
            wanted_file.check("keep", stored, digests)
            keep = stored.numpy()
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in digests}
            if set(file.keys()) != set(digests):
                raise wanted_file.error("damaged (tensors without a SHA-256)")
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        if isinstance(error, BabelscopeError):
            raise
        raise wanted_file.error(f"damaged or no safetensors file ({error})") from error
    expected = {"keep": (info.n_layers, info.d_ff)}
    matrices = _shapes(info, keep, kind.matrices)
    every = {f"{name}.{n}": shape for name, layers in matrices.items() for n, shape in enumerate(layers)}
    allowed = [expected | every, *([expected] if kind.may_lack else [])]
    if keep.dtype != bool or shapes not in allowed:
        raise wanted_file.error(
            f"needs keep, bool {expected['keep']}, and for every layer {', '.join(matrices)} of the neurons "
            f"kept{', or none of them' if kind.may_lack else ''}"
        )
    if shapes == expected:
        return PruningPlan(keep)
    return PruningPlan(
        keep, **{name: _StoredMatrices(wanted_file, name, info.n_layers, digests) for name in matrices}
    )


def _shapes(info: ModelInfo, keep: np.ndarray, matrices: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """Shapes of the matrices that a family has, by layer, with the neurons kept."""
    family, sizes = find_family(info.family, ()), keep.sum(axis=1).tolist()
    found = {
        "down": [(info.d_model, n) for n in sizes],
        "up": [((1 + family.fused_gate) * n, info.d_model) for n in sizes],
        "gate": [(n, info.d_model) for n in sizes] if family.gate else None,
    }
    return {name: found[name] for name in matrices if found[name] is not None}  # type: ignore[misc]


def read_finished(
    paths: Iterable[str | Path],
    info: ModelInfo,
    target: str,
    choice: Mapping[str, Any],
    distil: Mapping[str, Any] | None,
) -> tuple[PruningPlan, PruningPlan | None]:
    """Open the finished model of a target and, where there is a second file, the distilled one.

    Parameters
    ----------
    paths : one or two files.
    info, target : see ``read_plan``.
    choice, distil : parameters of both files, and those of the second alone.
    """
    first, *second = paths
    trained = [read_plan(path, info, target, DISTILLED, **choice, **(distil or {})) for path in second]
    return read_plan(first, info, target, **choice), next(iter(trained), None)


def read_plans(
    paths: Iterable[str | Path], info: ModelInfo, targets: Iterable[str], **parameters: Any
) -> dict[str, PruningPlan]:
    """Open the pruned models of several targets, one file each, in this order; see ``read_plan``."""
    pairs = zip(targets, paths, strict=True)
    return {target: read_plan(path, info, target, **parameters) for target, path in pairs}
