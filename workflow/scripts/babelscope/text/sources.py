"""Texts of one language out of local files, installed packages or a data set of the hub."""

from __future__ import annotations

import glob
import lzma
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from babelscope.files.packages import packaged_file
from babelscope.study.errors import BabelscopeError

_BUILDERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_NULL = re.compile(rb"\s*(\xef\xbb\xbf)?\s*null\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DEEPEST = 200  # levels of brackets in a line of JSON; the readers crash on very deep ones


def read_hub(source: Mapping[str, Any], language: str, seed: int | None) -> Iterator[tuple[str, str]]:
    """Documents of a data set of the hub in a seeded order (None: its own), with ids ``name/config:row``."""
    import datasets
    import httpx
    from huggingface_hub import errors

    name = source["hub"]
    config = source.get("config", "").replace("{lang}", language) or None
    where = f"hub dataset {name} ({config or 'default'}) at revision {source['revision']}"
    try:
        stream = datasets.load_dataset(
            name,
            config,
            revision=source["revision"],
            split=source.get("split", "train"),
            streaming=source.get("streaming", True),
        )
        if seed is not None:
            buffer = {"buffer_size": 10_000} if source.get("streaming", True) else {}
            stream = stream.shuffle(seed=seed, **buffer)
        for number, row in enumerate(stream):
            text = _text(row, source, f"{where}, row {number}")
            if source.get("parallel"):
                yield _row_id(row, source, number, f"{where}, row {number}"), text
            else:
                yield f"{name}/{config}:{row.get('id', number)}", text
    except BabelscopeError:
        raise
    except (datasets.exceptions.DatasetNotFoundError, errors.RepositoryNotFoundError) as error:
        raise BabelscopeError(
            f"{where} does not exist or is gated: check the name, accept its terms on its page, set HF_TOKEN"
        ) from error
    except (
        ConnectionError,
        OSError,
        httpx.HTTPError,
        errors.HfHubHTTPError,
        errors.OfflineModeIsEnabled,
    ) as error:
        raise BabelscopeError(
            f"{where} cannot be reached ({error}). Run rule sample_corpus where there is a network, or give "
            "local files as the source"
        ) from error
    except (ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise BabelscopeError(
            f"{where} cannot be read ({error.__cause__ or error}); check config and split of corpus.sources"
        ) from error


def read_files(source: Mapping[str, Any], language: str) -> Iterator[tuple[str, str]]:
    """Documents of local or packaged files, through `datasets`, with ids ``file:row``."""
    import datasets

    n_before = 0
    for path in _paths(source, language):
        number = 0
        suffix = ending_of(path)
        builder = "csv" if "columns" in source else _BUILDERS[suffix]
        if builder != "parquet":
            _check_text(path, builder, len(source.get("columns", ())))
        options: dict[str, Any] = {}
        if builder == "csv":
            options["keep_default_na"] = False
            if "columns" in source or suffix == ".tsv":
                options |= {"sep": "\t", "quoting": 3}
            if "columns" in source:
                options["column_names"] = list(source["columns"])
        # `datasets` leaves lock files in its cache even when it streams
        with tempfile.TemporaryDirectory() as cache:
            try:
                rows = datasets.load_dataset(
                    builder,
                    data_files=glob.escape(str(path)),
                    split="train",
                    streaming=True,
                    cache_dir=cache,
                    **options,
                )
                for number, row in enumerate(rows, start=1):
                    where = f"{path}, row {number}"
                    wanted = source.get("language_column")
                    if wanted is not None and _column(row, wanted, where) != language:
                        continue
                    name = f"{path.name}:{number}"
                    if source.get("parallel"):
                        name = _row_id(row, source, n_before + number, where)
                    yield name, _text(row, source, where)
            except BabelscopeError:
                raise
            except (datasets.exceptions.DatasetGenerationError, ValueError, OSError) as error:
                # readers of JSON, CSV and Parquet raise kinds of ValueError of their own
                raise BabelscopeError(
                    f"{path}: cannot be read as {builder} ({error.__cause__ or error})"
                ) from error
        n_before += number


def _row_id(row: Mapping[str, Any], source: Mapping[str, Any], number: int, where: str) -> str:
    """Id of a parallel document: its column, or its number in all files of the language."""
    column = source.get("id_column")
    if column is None:
        return str(number)
    if column not in row or not isinstance(row[column], (str, int)) or row[column] == "":
        raise BabelscopeError(
            f"{where}: need an id, text or a whole number, in column {column!r} (id_column); there are "
            f"{sorted(row)}"
        )
    return str(row[column])


def ending_of(path: Path) -> str:
    """The ending of a file that says how it is read, without that of a compression.

    Raises
    ------
    BabelscopeError
        For another ending than those that are read.
    """
    plain = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    ending = plain.suffix.lower()
    if ending not in _BUILDERS:
        raise BabelscopeError(
            f"{path}: ending {ending!r}, need one of {', '.join(_BUILDERS)}, alone or followed by "
            f"{', '.join(_COMPRESSED)}"
        )
    return ending


def require_printable(paths: Iterable[str]) -> Iterable[str]:
    """The same names of files, once it is known that they can be shown on a terminal.

    Raises
    ------
    BabelscopeError
        For a name with a control character, which Snakemake would print raw.
    """
    for path in paths:
        if _CONTROL.search(path):
            raise BabelscopeError(f"{path}: a file's name may have no control characters; rename it")
    return paths


def find_files(pattern: str, language: str) -> list[Path]:
    """Files of one language that a pattern of ``corpus.sources`` matches, in order of their names.

    Raises
    ------
    BabelscopeError
        Where there is none, saying what is there instead.
    """
    pattern = pattern.replace("{lang}", language)
    matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    paths = [path for path in matches if path.is_file()]
    if paths:
        return paths
    reason = "nothing has such a name"
    if "://" in pattern:
        reason = "it is an address; give a local path, or `hub` for a data set of the hub"
    elif any(path.is_dir() for path in matches):
        reason = f"it is a folder; for all files in it write {pattern.rstrip('/')}/*"
    elif matches:
        reason = "it is no regular file"
    elif "{" in pattern or "}" in pattern:
        reason = "braces are taken literally, but for {lang}; use *, ? or [...]"
    elif not Path(pattern).parent.is_dir() and not glob.has_magic(str(Path(pattern).parent)):
        reason = f"there is no folder {Path(pattern).parent}"
    raise BabelscopeError(f"language {language}: no file matches {pattern} (corpus.sources): {reason}")


def _paths(source: Mapping[str, Any], language: str) -> list[Path]:
    if "package" in source:
        return [packaged_file(source["package"], source["file"])]
    return find_files(source["files"], language)


def _check_text(path: Path, builder: str, n_columns: int) -> None:
    """Refuse text that the readers would misread or crash on, naming file and line.

    Empty files, NUL bytes, bytes that are not UTF-8, JSON nested too deep, more columns than ``n_columns``
    where these are named (0: they are not).
    """
    import fsspec

    number = 0
    try:
        with fsspec.open(str(path), "rb", compression="infer") as file:
            for number, line in enumerate(file, start=1):
                _check_line(f"{path}, line {number}", line, builder, n_columns)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BabelscopeError(f"{path}: cannot be read ({error})") from error
    except (ValueError, ImportError) as error:  # a compression without its package
        raise BabelscopeError(
            f"{path}: cannot be decompressed ({error}); for .zst install zstandard"
        ) from error
    if number == 0:
        raise BabelscopeError(f"{path}: is empty")


def _check_line(where: str, line: bytes, builder: str, n_columns: int) -> None:
    if b"\0" in line:
        raise BabelscopeError(f"{where}: holds a NUL byte; it is no text file")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BabelscopeError(
            f"{where}: not UTF-8 (byte {line[error.start]:#04x} at {error.start}); "
            "convert the file, for instance with iconv"
        ) from None
    if builder == "json" and _NULL.match(line):  # the reader dies of a file that begins with it
        raise BabelscopeError(f"{where}: null is no document; need an object")
    if builder == "json" and line.count(b"[") + line.count(b"{") > _DEEPEST and _depth(line) > _DEEPEST:
        raise BabelscopeError(f"{where}: JSON nested more than {_DEEPEST} deep")
    if n_columns and line.strip(b"\r\n") and line.count(b"\t") >= n_columns:
        raise BabelscopeError(
            f"{where}: {line.count(9) + 1} columns, corpus.sources names {n_columns} of them: name all"
        )


def _depth(line: bytes) -> int:
    """Levels of brackets in a line of JSON, those in its strings left out."""
    brackets = re.sub(rb'"(?:[^"\\]|\\.)*"?|[^\[\]{}"]', b"", line)
    deepest = depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _text(row: Mapping[str, Any], source: Mapping[str, Any], where: str) -> str:
    return _column(row, source.get("text_column", "text"), where)


def _column(row: Mapping[str, Any], name: str, where: str) -> str:
    if name not in row:
        raise BabelscopeError(f"{where}: no column {name!r}; there are {sorted(row)}")
    value = row[name]
    if not isinstance(value, str):
        raise BabelscopeError(f"{where}: column {name!r} holds {type(value).__name__}, need text")
    if "\0" in value:
        raise BabelscopeError(f"{where}: column {name!r} holds a NUL character; it is no text")
    return value.removeprefix("\ufeff")  # a byte order mark at the start of a file
