"""JSON files of a kind, and files of one JSON object per line: they say what they are and carry their digest.

The digest is over kind, version, what the file says about itself, and its content, so that a changed digit, a
lost line or lines of two files are noticed. In a file of lines every line says it all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from babelscope.files.kind import Kind
from babelscope.files.whole import read_json, write_json, write_text
from babelscope.study.errors import BabelscopeError

_FORMAT = "babelscope/"


def write_record(path: str | Path, kind: Kind, content: Mapping[str, Any], **said: Any) -> None:
    """Write one JSON object of a kind, whole or not at all.

    Parameters
    ----------
    content : entries by name.
    said : what the file says about itself (``kind.says``).

    Raises
    ------
    BabelscopeError
        Where the file would not say what it is.
    """
    kind.check_says(said, path)
    value = {"format": _FORMAT + kind.name, "format_version": kind.version, **said, **content}
    write_json(path, {**value, "seal": _digest(value)})


def read_record(path: str | Path, kind: Kind, **asked: Any) -> dict[str, Any]:
    """Read one JSON object of a kind.

    Parameters
    ----------
    asked : entries that must have these values, for instance ``model="tiny", language="en"``; None asks for
        nothing.

    Returns
    -------
    Its entries by name, what it says about itself among them; without format, version and digest.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, of another kind or version, or not the one asked for.
    """
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule {kind.rule} makes it")
    value = read_json(path)
    if not isinstance(value, dict):
        raise BabelscopeError(f"{path}: no JSON object; {kind.remake}")
    stored, wanted = value.pop("seal", None), _FORMAT + kind.name
    found = value.get("format"), value.get("format_version")
    if found != (wanted, kind.version):
        raise BabelscopeError(
            f"{path}: format is {found[0]!r:.80}, version {found[1]!r:.20}; need {wanted!r}, version "
            f"{kind.version}; {kind.remake}"
        )
    if stored != _digest(value):
        raise BabelscopeError(f"{path}: damaged (its content does not match its SHA-256); {kind.remake}")
    kind.check_asked(value, asked, path)
    return {name: entry for name, entry in value.items() if name not in ("format", "format_version")}


def write_lines(path: str | Path, kind: Kind, rows: Iterable[Mapping[str, Any]], **said: Any) -> None:
    """Write one JSON object per line, whole or not at all; each line gets ``said`` and the file's digest."""
    kind.check_says(said, path)
    listed: list[dict[str, Any]] = [dict(row) for row in rows]
    behind = {**said, "seal": _digest([kind.name, kind.version, said, listed])[:16]}
    write_text(path, "".join(json.dumps(row | behind, ensure_ascii=False) + "\n" for row in listed))


def read_lines(path: str | Path, kind: Kind, **asked: Any) -> list[dict[str, Any]]:
    """Read a file of one JSON object per line.

    Parameters
    ----------
    asked : as for ``read_record``.

    Returns
    -------
    The rows as they were written; at least one.

    Raises
    ------
    BabelscopeError
        Where the file is missing, damaged, empty, or not the one asked for; a line that is no JSON object is
        named by its number.
    """
    if not Path(path).exists():
        raise BabelscopeError(f"{path}: no such file; rule {kind.rule} makes it")
    rows = []
    try:
        # Lines end at \n alone: str.splitlines would cut documents at U+2028.
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BabelscopeError(f"{path}: cannot be read ({error}); {kind.remake}") from error
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BabelscopeError(f"{path}, line {number}: no JSON ({error}); {kind.remake}") from None
        if not isinstance(row, dict):
            raise BabelscopeError(f"{path}, line {number}: {row!r:.60} is no object; {kind.remake}")
        rows.append(row)
    if not rows:
        raise BabelscopeError(f"{path}: no line in it; {kind.remake}")
    said = [{name: row.pop(name, None) for name in (*kind.says, "seal")} for row in rows]
    stored = said[0].pop("seal")
    if any(one != said[0] | {"seal": stored} for one in said[1:]) or (
        stored != _digest([kind.name, kind.version, said[0], rows])[:16]
    ):
        kind.check_asked(said[0], asked, path)
        raise BabelscopeError(f"{path}: damaged (its lines do not match their SHA-256); {kind.remake}")
    kind.check_asked(said[0], asked, path)
    return rows


def _digest(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    # A lone surrogate has no UTF-8: it stays escaped.
    as_read = json.loads(json.dumps(value))  # keys of the writer may be numbers
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode("ascii")).hexdigest()
