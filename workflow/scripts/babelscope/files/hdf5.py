"""HDF5 files of the study: a written contract, checked when a file is written.

Every file has a ``Kind``: which datasets it has, of which type, with which axes, and which rule makes it. A
file is written beside its target under a temporary name and renamed when whole. Its first 512 bytes (HDF5's
user block) are the seal: a SHA-256 of all bytes behind them. The seal is checked before HDF5 opens the file
(on damaged metadata the library can crash or never return), and it is the only check of the content on
reading: what is sealed has been checked by the writer. A file without it is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

import babelscope
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.files.whole import whole_file
from babelscope.study.errors import BabelscopeError

_FORMAT = "babelscope/"
_SEAL_SIZE = 512  # the smallest user block that HDF5 allows
_OVERHEAD = 1 << 15  # bytes of a file in addition to its data, at least


def write_h5(path: str | Path, kind: Kind, datasets: Mapping[str, Any], **attrs: Any) -> None:
    """Write one file of a kind, whole or not at all.

    Parameters
    ----------
    path : path of the target; a temporary file is made beside it and renamed.
    kind : what the file is.
    datasets : arrays by name, as the kind asks for.
    attrs : what the file says about itself (``kind.says``) and the parameters that made it: str, int, float,
        bool, or a list of these.

    Raises
    ------
    BabelscopeError
        Where a dataset or attribute is missing, or a dataset unknown, of the wrong type or shape, or out of
        its range.
    """
    kind.check_says(attrs, path)
    arrays = _check(datasets, kind, str(path))
    header = {
        "format": _FORMAT + kind.name,
        "format_version": kind.version,
        "created_by": f"babelscope {babelscope.__version__}",
        **attrs,
    }
    with whole_file(path) as temporary:
        _reserve(temporary, sum(array.nbytes for array in arrays.values() if array.dtype != object))
        with h5py.File(temporary, "w", userblock_size=_SEAL_SIZE) as file:
            file.attrs.update(header)
            for name, array in arrays.items():
                _write_dataset(file, name, array, kind.datasets[name])
        with open(temporary, "r+b") as file:
            seal = _seal(file)
            file.seek(0)
            file.write(seal)


def read_h5(path: str | Path, kind: Kind, **asked: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read one file of a kind.

    Parameters
    ----------
    path, kind : as for ``write_h5``.
    asked : attributes or datasets that must have these values, for instance ``model="gemma-3-270m"``,
        ``languages=["en", "fr"]``; None asks for nothing.

    Returns
    -------
    datasets : arrays by name. attrs : root attributes.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, without its seal, of another kind, version or layout, or not the
        one asked for. The message names the file and the rule that remakes it.
    """
    with open_h5(path, kind, **asked) as file:
        attrs = {name: _plain(value) for name, value in file.attrs.items()}
        return {name: _read_dataset(file[name]) for name in kind.datasets if name in file}, attrs


@contextmanager
def open_h5(path: str | Path, kind: Kind, **asked: Any) -> Iterator[h5py.File]:
    """Open one file of a kind to read parts of it, for datasets that are too large to be read whole.

    Raises
    ------
    BabelscopeError
        As ``read_h5``.
    """
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule {kind.rule} makes it")
    _check_seal(Path(path), kind)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise BabelscopeError(f"{path}: damaged or no HDF5 file ({error}); {kind.remake}") from error
    with file:
        attrs = {name: _plain(value) for name, value in file.attrs.items()}
        _check_header(attrs, kind, str(path))
        _check_layout(file, kind, str(path))
        said = {name: _read_dataset(file[name]).tolist() for name in asked if name in kind.datasets}
        kind.check_asked(attrs | said, asked, path)
        yield file


def _reserve(path: Path, n_bytes: int) -> None:
    """Make sure that a file of this size has room; ``OSError`` where it has not.

    On a full disk HDF5 itself fails in ways that can end the process without a word.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes + _OVERHEAD)


def _seal(file: BinaryIO) -> bytes:
    """The user block of a file: a line with the SHA-256 of all bytes behind it."""
    file.seek(_SEAL_SIZE)
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return f"babelscope sha256 {digest.hexdigest()}\n".encode().ljust(_SEAL_SIZE, b"\0")


def _check_seal(path: Path, kind: Kind) -> None:
    """Refuse a file whose bytes have changed, and one that has no seal."""
    try:
        with open(path, "rb") as file:
            whole = file.read(_SEAL_SIZE) == _seal(file)
    except OSError as error:
        raise BabelscopeError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not whole:
        raise BabelscopeError(
            f"{path}: damaged or no HDF5 file (its bytes do not match its SHA-256); {kind.remake}"
        )


def _check(datasets: Mapping[str, Any], kind: Kind, where: str) -> dict[str, np.ndarray]:
    missing = {name for name, spec in kind.datasets.items() if not spec.optional} - set(datasets)
    unknown = set(datasets) - set(kind.datasets)
    if missing or unknown:
        raise BabelscopeError(f"{where}: {kind.name} lacks {sorted(missing)}, has unknown {sorted(unknown)}")
    arrays: dict[str, np.ndarray] = {}
    axis_sizes: dict[str, int] = {}
    for name, value in datasets.items():
        arrays[name] = _check_array(np.asarray(value), kind.datasets[name], f"{where}: {name}", axis_sizes)
    return arrays


def _check_array(array: np.ndarray, spec: DatasetSpec, where: str, axis_sizes: dict[str, int]) -> np.ndarray:
    if spec.dtype == "str":
        array = array.astype(object)
    elif array.dtype != np.dtype(spec.dtype):
        raise BabelscopeError(f"{where} has type {array.dtype}, need {spec.dtype}")
    if array.ndim != len(spec.dims):
        raise BabelscopeError(f"{where} has shape {array.shape}, need axes {spec.dims}")
    for axis, size in zip(spec.dims, array.shape, strict=True):
        if axis_sizes.setdefault(axis, size) != size:
            raise BabelscopeError(f"{where} has {size} along {axis}, another dataset {axis_sizes[axis]}")
    if spec.dtype == "str" or array.size == 0:
        return array
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BabelscopeError(f"{where} has NaN or infinite values")
    if spec.low is not None and array.min() < spec.low:
        raise BabelscopeError(f"{where} has a value {array.min()} below {spec.low}")
    if spec.high is not None and array.max() > spec.high:
        raise BabelscopeError(f"{where} has a value {array.max()} above {spec.high}")
    return array


def _check_header(attrs: Mapping[str, Any], kind: Kind, where: str) -> None:
    found = attrs.get("format")
    if found != _FORMAT + kind.name:
        raise BabelscopeError(f"{where}: format is {found!r}, need {_FORMAT + kind.name!r}; {kind.remake}")
    if attrs.get("format_version") != kind.version:
        raise BabelscopeError(
            f"{where}: format_version is {attrs.get('format_version')}, "
            f"this Babelscope reads {kind.version}; {kind.remake}"
        )


def _check_layout(file: h5py.File, kind: Kind, where: str) -> None:
    """Refuse a file that has other datasets than its kind, or takes their content from elsewhere.

    A seal can be made by anybody.
    """
    axis_sizes: dict[str, int] = {}
    needed = {name for name, spec in kind.datasets.items() if not spec.optional}
    for name in {*file, *needed}:
        hard = name in file and isinstance(file.get(name, getlink=True), h5py.HardLink)
        dataset: Any = file[name] if hard else None
        spec = kind.datasets.get(name)
        fits = isinstance(dataset, h5py.Dataset) and not dataset.is_virtual and not dataset.external
        if spec is None or not fits or not _has_type(dataset, spec):
            raise BabelscopeError(f"{where}: {name!r:.40} is not what {kind.name} has there; {kind.remake}")
        for axis, size in zip(spec.dims, dataset.shape, strict=True):
            if axis_sizes.setdefault(axis, size) != size:
                raise BabelscopeError(
                    f"{where}: {name} has {size} along {axis}, another dataset "
                    f"{axis_sizes[axis]}; {kind.remake}"
                )


def _has_type(dataset: h5py.Dataset, spec: DatasetSpec) -> bool:
    if len(dataset.shape) != len(spec.dims):
        return False
    if spec.dtype == "str":
        return h5py.check_string_dtype(dataset.dtype) is not None
    return bool(dataset.dtype == np.dtype(spec.dtype))


def _write_dataset(file: h5py.File, name: str, array: np.ndarray, spec: DatasetSpec) -> None:
    options: dict[str, Any] = {}
    if array.ndim and array.size and spec.compressed:
        options = {"chunks": True, "compression": "gzip", "compression_opts": 1}
    dtype = h5py.string_dtype() if spec.dtype == "str" else array.dtype
    dataset = file.create_dataset(name, data=array, dtype=dtype, **options)
    dataset.attrs["dims"] = list(spec.dims) if spec.dims else ""
    dataset.attrs["description"] = spec.description
    for axis, dim in enumerate(spec.dims):
        dataset.dims[axis].label = dim


def _read_dataset(dataset: h5py.Dataset) -> np.ndarray:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[()], dtype=object)
    return np.asarray(dataset[()])


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value
