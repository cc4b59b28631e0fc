"""The files of a model folder, read without torch or transformers: config, tokenizer, headers of weights."""

from __future__ import annotations

import json
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from babelscope.files.whole import read_json
from babelscope.study.errors import BabelscopeError

# Larger headers than the format's own reader accepts.
_HEADER_LIMIT = 100_000_000
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16}
_BITS |= {"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}


def read_model_config(folder: Path) -> dict[str, Any]:
    """Read config.json.

    Raises
    ------
    BabelscopeError
        Where it is missing, no JSON object, or does not name its family.
    """
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise BabelscopeError(
            f"{folder / 'config.json'}: need a JSON object with a model_type; found {config!r:.60}"
        )
    return config


def read_tokenizer(folder: Path) -> Any | None:
    """The folder's ``tokenizers.Tokenizer``; None where it has no tokenizer.json.

    Raises
    ------
    BabelscopeError
        Where the file is no tokenizer.
    """
    file = folder / "tokenizer.json"
    if not file.exists():
        return None
    stat = file.stat()
    try:
        return _load_tokenizer(file.absolute(), stat.st_size, stat.st_mtime_ns)
    except Exception as error:  # the library raises nothing more exact
        raise BabelscopeError(f"{file}: no readable tokenizer ({error})") from error


@lru_cache(maxsize=1)
def _load_tokenizer(file: Path, _size: int, _mtime_ns: int) -> Any:
    """Once for all that look at it: one with a big vocabulary takes seconds."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(file))


def read_tokenizer_settings(folder: Path) -> dict[str, Any]:
    """The content of tokenizer_config.json; empty where there is none.

    Raises
    ------
    BabelscopeError
        Where it is no JSON object.
    """
    file = folder / "tokenizer_config.json"
    settings = read_json(file) if file.exists() else {}
    if not isinstance(settings, dict):
        raise BabelscopeError(f"{file}: need a JSON object; found {settings!r:.60}")
    return settings


def read_header(file: Path) -> tuple[dict[str, Any], int]:
    """Read the header of a safetensors file and check it against the file's size.

    Returns
    -------
    One entry per tensor, ``dtype``, ``shape`` and ``data_offsets``; and the byte of the file that the offsets
    count from.

    Raises
    ------
    BabelscopeError
        Where the header is damaged, or the file ends before its last tensor or after it.
    """
    size = file.stat().st_size
    try:
        with open(file, "rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > min(size - 8, _HEADER_LIMIT):
                raise ValueError(f"its header has {length} bytes, the file {size}")
            header = json.loads(handle.read(length))
        header.pop("__metadata__", None)
        spans = [_check_entry(name, entry) for name, entry in header.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BabelscopeError(f"{file}: no readable safetensors header ({error})") from error
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise BabelscopeError(f"{file}: its tensors overlap or leave gaps at byte {begin} of the data")
        reached = end
    if 8 + length + reached != size:
        raise BabelscopeError(
            f"{file}: {size} bytes, its header describes {8 + length + reached}; the download is not whole"
        )
    return header, 8 + length


def _check_entry(name: str, entry: dict[str, Any]) -> tuple[int, int]:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    shape = [int(size) for size in entry["shape"]]
    if begin < 0 or min(shape, default=0) < 0:
        raise ValueError(f"{name} has negative sizes")
    bits = _BITS.get(entry["dtype"])
    if bits is not None and (end - begin) * 8 != prod(shape) * bits:
        raise ValueError(f"{name} of shape {shape} in {end - begin} bytes")
    return begin, end
