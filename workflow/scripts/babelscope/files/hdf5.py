"""HDF5 files of the study: a written contract, checked on writing and on reading.

Every file has a kind: ``kinds.KINDS`` says which datasets it has, of which type, with which axes, and which
rule makes it. A file is written beside its target under a temporary name and renamed when whole; every
dataset carries a Fletcher-32 checksum, and the root a SHA-256 of all content, both checked on reading. The
first 512 bytes (HDF5's user block) hold a SHA-256 of all bytes behind them. It is checked before HDF5 opens
the file: on damaged metadata the library can crash or never return.
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
from babelscope.files.kinds import KINDS, DatasetSpec
from babelscope.files.whole import whole_file
from babelscope.study.errors import BabelscopeError

_FORMAT = "babelscope/"
_SEAL_SIZE = 512  # the smallest user block that HDF5 allows
_OVERHEAD = 1 << 15  # bytes of a file beside its data, at least
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def write_h5(path: str | Path, kind: str, datasets: Mapping[str, Any], **attrs: Any) -> None:
    """Write one file of a kind, whole or not at all.

    Parameters
    ----------
    path : path of the target; a temporary file is made beside it and renamed.
    kind : a key of ``KINDS``.
    datasets : arrays by name, as the kind asks for.
    attrs : parameters that made the file (str, int, float, bool, or a list of these); at least ``model``.

    Raises
    ------
    BabelscopeError
        Where a dataset is missing, unknown, of the wrong type or shape, or out of its range.
    """
    spec = KINDS[kind]
    if "model" not in attrs:
        raise BabelscopeError(f"{path}: a file of kind {kind} needs the attribute 'model'")
    arrays = _check(datasets, kind, str(path))
    header = {
        "format": _FORMAT + kind,
        "format_version": spec.version,
        "created_by": f"babelscope {babelscope.__version__}",
        **attrs,
    }
    with whole_file(path) as temporary:
        _reserve(temporary, sum(array.nbytes for array in arrays.values() if array.dtype != object))
        with h5py.File(temporary, "w", userblock_size=_SEAL_SIZE) as file:
            for name, value in header.items():
                file.attrs[name] = value
            file.attrs["sha256"] = _digest(header, arrays)
            for name, array in arrays.items():
                _write_dataset(file, name, array, spec.datasets[name])
        with open(temporary, "r+b") as file:
            seal = _seal(file)
            file.seek(0)
            file.write(seal)


def read_h5(path: str | Path, kind: str, **expected: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read one file of a kind and check all of it.

    Parameters
    ----------
    path, kind : as for ``write_h5``.
    expected : attributes that must have these values, for instance ``model="gemma-3-270m"``.

    Returns
    -------
    datasets : arrays by name. attrs : root attributes, without ``sha256``.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, of another kind, version or model, or breaks its contract. The
        message names the file and the rule that remakes it.
    """
    spec = KINDS[kind]
    remake = f"delete it and run again: rule {spec.rule} remakes it"
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule {spec.rule} makes it")
    _check_seal(Path(path), remake)
    try:
        with h5py.File(path, "r") as file:
            attrs = {name: _plain(value) for name, value in file.attrs.items()}
            _check_header(attrs, kind, str(path), remake)
            raw = {name: _read_dataset(file[name]) for name in file}
    except BabelscopeError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise BabelscopeError(f"{path}: damaged or no HDF5 file ({error}); {remake}") from error
    stored = attrs.pop("sha256", None)
    try:
        arrays = _check(raw, kind, str(path))
    except BabelscopeError as error:
        raise BabelscopeError(f"{error}; {remake}") from None
    if stored != _digest(attrs, arrays):
        raise BabelscopeError(f"{path}: its content does not match its SHA-256, it was damaged; {remake}")
    _check_expected(attrs, expected, str(path), remake)
    return arrays, attrs


def _reserve(path: Path, n_bytes: int) -> None:
    """Make sure that a file of this size has room; ``OSError`` where it has not.

    On a full disk HDF5 itself fails in ways that can end the process without a word.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes + _OVERHEAD)


@contextmanager
def open_h5(path: str | Path, kind: str, **expected: Any) -> Iterator[h5py.File]:
    """Open one file of a kind to read parts of it, for datasets that are too large to be read whole.

    The bytes, kind, version and expected attributes are checked; the values are those that were checked when
    the file was written.

    Raises
    ------
    BabelscopeError
        As ``read_h5``.
    """
    remake = f"delete it and run again: rule {KINDS[kind].rule} remakes it"
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule {KINDS[kind].rule} makes it")
    _check_seal(Path(path), remake)
    with h5py.File(path, "r") as file:
        attrs = {name: _plain(value) for name, value in file.attrs.items()}
        _check_header(attrs, kind, str(path), remake)
        _check_expected(attrs, expected, str(path), remake)
        yield file


def _seal(file: BinaryIO) -> bytes:
    """The user block of a file: a line with the SHA-256 of all bytes behind it."""
    file.seek(_SEAL_SIZE)
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return f"babelscope sha256 {digest.hexdigest()}\n".encode().ljust(_SEAL_SIZE, b"\0")


def _check_seal(path: Path, remake: str) -> None:
    """Refuse a file whose bytes have changed; one without a user block is left to the checks of content."""
    try:
        with open(path, "rb") as file:
            found = file.read(_SEAL_SIZE)
            whole = found.startswith(_HDF5_SIGNATURE) or found == _seal(file)
    except OSError as error:
        raise BabelscopeError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not whole:
        raise BabelscopeError(
            f"{path}: damaged or no HDF5 file (its bytes do not match its SHA-256); {remake}"
        )


def _check(datasets: Mapping[str, Any], kind: str, where: str) -> dict[str, np.ndarray]:
    spec = KINDS[kind]
    missing = set(spec.datasets) - set(datasets)
    unknown = set(datasets) - set(spec.datasets)
    if missing or unknown:
        raise BabelscopeError(f"{where}: {kind} lacks {sorted(missing)}, has unknown {sorted(unknown)}")
    arrays: dict[str, np.ndarray] = {}
    axis_sizes: dict[str, int] = {}
    for name, value in datasets.items():
        arrays[name] = _check_array(np.asarray(value), spec.datasets[name], f"{where}: {name}", axis_sizes)
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


def _check_header(attrs: Mapping[str, Any], kind: str, where: str, remake: str) -> None:
    found = attrs.get("format")
    if found != _FORMAT + kind:
        raise BabelscopeError(f"{where}: format is {found!r}, need {_FORMAT + kind!r}; {remake}")
    version = KINDS[kind].version
    if attrs.get("format_version") != version:
        raise BabelscopeError(
            f"{where}: format_version is {attrs.get('format_version')}, "
            f"this Babelscope reads {version}; {remake}"
        )


def _check_expected(attrs: Mapping[str, Any], expected: Mapping[str, Any], where: str, remake: str) -> None:
    for name, value in expected.items():
        if attrs.get(name) != value:
            raise BabelscopeError(
                f"{where}: made with {name} = {attrs.get(name)!r}, this run has {value!r}; {remake}"
            )


def _write_dataset(file: h5py.File, name: str, array: np.ndarray, spec: DatasetSpec) -> None:
    options: dict[str, Any] = {}
    if array.ndim and array.size:
        options = {
            "chunks": True,
            "compression": "gzip",
            "compression_opts": 1,
            "fletcher32": spec.dtype != "str",
        }
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


def _digest(attrs: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(attrs):
        value = _plain(np.asarray(attrs[name])) if isinstance(attrs[name], (list, tuple)) else attrs[name]
        digest.update(f"{name}={_plain(value)!r};".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.shape};".encode())
        content = "\0".join(array.tolist()).encode() if array.dtype == object else array.tobytes()
        digest.update(content)
    return digest.hexdigest()
