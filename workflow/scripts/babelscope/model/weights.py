"""Weights of single layers out of safetensors files, without torch or transformers.

A clustering job needs one matrix of one layer: it reads the header and that matrix, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babelscope.model.families import FfnFamily, find_family
from babelscope.model.folder import read_header
from babelscope.study.errors import BabelscopeError

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
MATRICES = ("up", "gate", "down", "both")


@dataclass(frozen=True)
class TensorEntry:
    """Place of one tensor: file, type, shape and bytes from ``start`` to ``end`` of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_index(folder: str | Path) -> dict[str, TensorEntry]:
    """List the tensors of all safetensors files of a model folder, by name.

    Raises
    ------
    BabelscopeError
        Where there is no safetensors file or a header cannot be read.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BabelscopeError(
            f"{folder}: no *.safetensors file. Babelscope reads safetensors only; "
            "set allow_pickle: true for the model to have its other weights converted."
        )
    entries: dict[str, TensorEntry] = {}
    for file in files:
        header, data_start = read_header(file)
        for name, entry in header.items():
            start, end = (data_start + offset for offset in entry["data_offsets"])
            entries[name] = TensorEntry(file, entry["dtype"], tuple(entry["shape"]), start, end)
    return entries


def read_tensor(entry: TensorEntry) -> np.ndarray:
    """Read one tensor as float32, whatever it is stored in (float64, float32, float16, bfloat16).

    Raises
    ------
    BabelscopeError
        For another type, or a file that ends too early.
    """
    return _read(entry, 0, entry.end - entry.start).reshape(entry.shape)


def read_blocks(entry: TensorEntry, n_rows: int = 64) -> Iterator[np.ndarray]:
    """Read one tensor as ``read_tensor`` does, some rows at a time, which stay in the processor's cache."""
    row = (entry.end - entry.start) // max(1, entry.shape[0])
    for first in range(0, entry.shape[0], n_rows):
        n = min(n_rows, entry.shape[0] - first)
        yield _read(entry, first * row, n * row).reshape(n, *entry.shape[1:])


def _read(entry: TensorEntry, offset: int, n_bytes: int) -> np.ndarray:
    """So many bytes of a tensor as float32."""
    if entry.dtype not in _DTYPES:
        raise BabelscopeError(f"{entry.file}: weights of type {entry.dtype}, need one of {sorted(_DTYPES)}")
    with open(entry.file, "rb") as handle:
        handle.seek(entry.start + offset)
        content = handle.read(n_bytes)
    if len(content) != n_bytes:
        raise BabelscopeError(f"{entry.file}: ends before its last tensor; the download is not whole")
    array = np.frombuffer(content, dtype=_DTYPES[entry.dtype])
    if entry.dtype == "BF16":
        return np.left_shift(array, 16, dtype=np.uint32).view(np.float32)
    return array.astype(np.float32, copy=False)


def find_tensor(index: dict[str, TensorEntry], family: FfnFamily, layer: int, module: str) -> TensorEntry:
    """Find ``<layers>.<layer>.<module>.weight``, also where the checkpoint leaves off leading names.

    Raises
    ------
    BabelscopeError
        Where no tensor, or more than one, fits.
    """
    wanted = f"{family.layers}.{layer}.{module}.weight"
    candidates = [name for name in index if name == wanted or wanted.endswith("." + name)]
    if len(candidates) != 1:
        near = [name for name in index if name.endswith(f".{module}.weight")][:5]
        raise BabelscopeError(f"no single tensor for {wanted}: found {candidates}; names like it: {near}")
    return index[candidates[0]]


def count_layers(index: dict[str, TensorEntry], family: FfnFamily) -> int:
    """Count the layers that have a down projection.

    Raises
    ------
    BabelscopeError
        Where there is none.
    """
    pattern = re.compile(rf"(?:^|\.)(\d+)\.{re.escape(family.down)}\.weight$")
    layers = {int(match[1]) for name in index if (match := pattern.search(name))}
    if not layers:
        raise BabelscopeError(f"no weight named …{family.down}.weight; seen: {sorted(index)[:10]}")
    return max(layers) + 1


def ffn_shape(index: dict[str, TensorEntry], family: FfnFamily) -> tuple[int, int]:
    """Return ``(d_model, d_ff)`` read off the down projection of layer 0, stored as (d_model, d_ff)."""
    d_model, d_ff = find_tensor(index, family, 0, family.down).shape
    return d_model, d_ff


def routed_experts(index: dict[str, TensorEntry], family: FfnFamily, n_layers: int) -> tuple[int, ...]:
    """Routed experts of each layer, read off the routers' weights; 0 for a dense layer."""
    counts = [0] * n_layers
    if family.routing is not None:
        pattern = re.compile(rf"(?:^|\.)(\d+)\.{re.escape(family.routing.stored)}$")
        for name, entry in index.items():
            match = pattern.search(name)
            if match and int(match[1]) < n_layers:  # layers beyond are for predicting further tokens
                counts[int(match[1])] = entry.shape[0]
    return tuple(counts)


def read_rows(folder: str | Path, model_type: str, layer: int, matrix: str = "up") -> np.ndarray:
    """Read the rows that are clustered: one a neuron.

    Parameters
    ----------
    folder : model folder with safetensors files.
    model_type : family, as in config.json.
    layer : layer number from 0.
    matrix : ``up``, ``gate``, ``down`` (its columns), or ``both`` (up and gate side by side).

    Returns
    -------
    float32 (d_ff, d_model); for ``both`` (d_ff, 2 d_model).

    Raises
    ------
    BabelscopeError
        For an unknown matrix or layer, or a gate that the family does not have.
    """
    index, family = _read_dense(folder, model_type)
    if matrix not in MATRICES:
        raise BabelscopeError(f"experts.matrix {matrix!r}: allowed are {', '.join(MATRICES)}")
    if matrix in ("gate", "both") and not family.gated:
        raise BabelscopeError(f"experts.matrix {matrix!r}: family {model_type} has no gate; use up or down")
    if matrix == "down":
        return np.ascontiguousarray(read_tensor(find_tensor(index, family, layer, family.down)).T)
    wanted = ("up", "gate") if matrix == "both" else (matrix,)
    return np.concatenate([_read_up_or_gate(index, family, layer, name) for name in wanted], axis=1)


def read_down_blocks(folder: str | Path, model_type: str, layer: int) -> Iterator[np.ndarray]:
    """Read a down projection as stored, float32 (d_model, d_ff), some rows at a time; see ``read_rows``."""
    index, family = _read_dense(folder, model_type)
    return read_blocks(find_tensor(index, family, layer, family.down))


def _read_dense(folder: str | Path, model_type: str) -> tuple[dict[str, TensorEntry], FfnFamily]:
    index = read_index(folder)
    family = find_family(model_type, index)
    if family.routing is not None:
        raise BabelscopeError(f"family {model_type} has routed experts: use experts.method: router")
    return index, family


def _read_up_or_gate(index: dict[str, TensorEntry], family: FfnFamily, layer: int, name: str) -> np.ndarray:
    if not family.fused_gate:
        module = family.up if name == "up" else family.gate
        assert module is not None
        return read_tensor(find_tensor(index, family, layer, module))
    gate, up = np.split(read_tensor(find_tensor(index, family, layer, family.up)), 2)
    return up if name == "up" else gate
