"""Identity of the weights in a folder: a digest of all its files that decide a result.

Rule files import it: the standard library alone. A file whose size and time are those of an earlier look is
not read again where notes of earlier digests are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from babelscope.files.whole import write_text
from babelscope.study.errors import BabelscopeError

_ENDINGS = frozenset({".safetensors", ".bin", ".json", ".model", ".txt", ".jinja", ".py"})
NOTES = Path(".snakemake", "babelscope", "weights.json")
_AT_ONCE = 4  # files that are read side by side
_DEPTHS = ("n_layers", "num_hidden_layers", "n_layer", "num_layers")


def stamp_of(folder: str | Path) -> str:
    """Names, sizes and times (ns) of the files that decide a result: the same, the same weights."""
    files = _files(Path(folder))
    return ";".join(f"{file.name} {s.st_size} {s.st_mtime_ns}" for file in files for s in [file.stat()])


def weights_digest(folder: str | Path, notes: str | Path | None = None) -> str:
    """SHA-256 of all files of a model folder that decide a result; a copy has the same, whatever its times.

    Parameters
    ----------
    folder : with config.json, weights and tokenizer.
    notes : file that keeps digests by folder and stamp; None: none is kept. What cannot be read or written
        is passed over.

    Raises
    ------
    BabelscopeError
        Where a file cannot be read.
    """
    where, stamp = str(Path(folder).absolute()), stamp_of(folder)
    known = {} if notes is None else _read_notes(Path(notes))
    if known.get(where, {}).get("stamp") == stamp:
        return str(known[where]["sha256"])
    digest, files = hashlib.sha256(), _files(Path(folder))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for file, own in zip(files, pool.map(_file_digest, files), strict=True):
            digest.update(f"{file.name} {own}\n".encode("utf-8", "surrogateescape"))
    if notes is not None:
        known[where] = {"stamp": stamp, "sha256": digest.hexdigest()}
        with suppress(BabelscopeError):  # a folder that cannot be written: the digest is taken again
            write_text(notes, json.dumps(known, indent=1) + "\n")
    return digest.hexdigest()


def _file_digest(file: Path) -> str:
    try:
        with open(file, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise BabelscopeError(f"{file}: cannot be read ({error.strerror or error})") from error


def check_depth(name: str, definition: Mapping[str, Any], model_json: str | Path) -> None:
    """Refuse a wrong ``n_layers`` while rule files are read: a job would remove good files first.

    A local folder's config.json tells the depth; for other sources model.json does, where the same source was
    prepared before. What they do not tell is left to rule prepare_model.

    Raises
    ------
    BabelscopeError
        With both numbers.
    """
    source, wanted = definition["source"], definition["n_layers"]
    file = Path(source["path"], "config.json") if "path" in source else Path(model_json)
    told = _read_notes(file)
    if "path" not in source and not is_source(told, source):
        return
    found = next((told[key] for key in _DEPTHS if key in told), None)
    if type(found) is int and found != wanted:
        raise BabelscopeError(
            f"configuration: model_definitions.{name}.n_layers is {wanted}, {file} has {found} layers"
        )


def origin_of(source: Mapping[str, Any]) -> str:
    """Origin of a model, as model.json says it."""
    if "package" in source:
        return f"package {source['package']}=={source['version']}"
    kind = "path" if "path" in source else "hub"
    return f"{kind} {source[kind]}"


def is_source(model: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether the content of model.json is about a source of the configuration."""
    said = [model.get(name) for name in ("origin", "revision", "sha256")]
    return said == [origin_of(source), source.get("revision", ""), source.get("sha256", "")]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in _ENDINGS and file.is_file())
    except OSError as error:
        raise BabelscopeError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _read_notes(path: Path) -> dict[str, Any]:
    """A JSON object of a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
