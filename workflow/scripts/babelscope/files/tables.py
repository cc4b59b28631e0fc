"""Tables as CSV: a row is a dataclass or mapping, numbers have six digits, missing values are empty.

They are for people. Rules read a sealed record with the same rows instead (``plain_rows``).

The standard library's ``csv`` serves: rows are written once and read as text. pandas would add a second of
import (1.2 s against 0.2 s of numpy alone) to each job that touches a table, and replace no code but this.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from babelscope.files.whole import write_text
from babelscope.study.errors import BabelscopeError


def format_table(rows: Sequence[Any], columns: Sequence[str]) -> str:
    """CSV text with a header, also where there is no row.

    Parameters
    ----------
    rows : dataclasses or mappings that have all ``columns``.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = _entries(row)
        writer.writerow([_cell(values[name]) for name in columns])
    return stream.getvalue()


def write_table(path: str | Path, rows: Sequence[Any], columns: Sequence[str]) -> None:
    """Write ``format_table`` whole or not at all."""
    write_text(path, format_table(rows, columns))


def plain_rows(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Dataclasses or mappings as JSON has them, in full precision; a number that is not finite is None."""
    return [{name: _plain(value) for name, value in _entries(row).items()} for row in rows]


def read_table(path: str | Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a CSV file with a header, values as text.

    Raises
    ------
    BabelscopeError
        Where the file cannot be read or lacks one of ``columns``; the file is named.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BabelscopeError(f"{path}: cannot be read as a table ({error})") from error
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise BabelscopeError(f"{path}: no column {', '.join(missing)}; there are {reader.fieldnames}")
    return rows


def _entries(row: Any) -> Mapping[str, Any]:
    return asdict(row) if is_dataclass(row) and not isinstance(row, type) else row


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
