"""Sampling the documents of one language from files, installed packages or the hub.

The sample is deterministic and grows at its end: more documents keep the ones there were.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from babelscope.files.packages import packaged_file
from babelscope.files.whole import write_text
from babelscope.study.errors import BabelscopeError

PROFILE, HELDOUT = "profile", "heldout"
_BUILDERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Document:
    """One document: ``id`` says where it came from, ``split`` is ``profile`` or ``heldout``."""

    id: str
    text: str
    split: str


def sample_documents(
    language: str,
    source: Mapping[str, Any],
    *,
    profile_documents: int,
    heldout_documents: int,
    min_characters: int,
    max_characters: int,
    allow_fewer: bool,
    seed: int,
) -> list[Document]:
    """Draw held-out and profile documents; no text is in both, or twice in one.

    Parameters
    ----------
    language : code that fills ``{lang}`` in the source.
    source : an entry of ``corpus.sources``: a package's file, local files, or a hub dataset.
    profile_documents, heldout_documents : how many of each.
    min_characters : shorter documents are passed over; longer ones are cut at ``max_characters``.
    allow_fewer : take fewer profile documents where there are not enough.
    seed : decides the order of documents.

    Returns
    -------
    Held-out documents first, then profile documents.

    Raises
    ------
    BabelscopeError
        Where the source is missing or damaged, or has too few documents.
    """
    stream: Iterable[tuple[str, str]]
    if "hub" in source:
        stream = _read_hub(source, language, seed)
    else:
        stream = _ranked(_read_files(source, language), seed)
    wanted = heldout_documents + profile_documents
    chosen = list(itertools.islice(_usable(stream, min_characters, max_characters), wanted))
    if len(chosen) < wanted and not (allow_fewer and len(chosen) > heldout_documents):
        raise BabelscopeError(
            f"language {language}: {len(chosen)} documents of at least {min_characters} characters, "
            f"need {heldout_documents} held-out + {profile_documents} profile = {wanted}; ask for fewer "
            "(corpus.profile_documents), add text, or set corpus.allow_fewer: true"
        )
    return [
        Document(name, text, HELDOUT if number < heldout_documents else PROFILE)
        for number, (name, text) in enumerate(chosen)
    ]


def write_documents(path: str | Path, documents: Iterable[Document]) -> None:
    """Write ``results/corpora/{lang}.jsonl``, one document a line."""
    write_text(path, "".join(json.dumps(asdict(doc), ensure_ascii=False) + "\n" for doc in documents))


def read_documents(path: str | Path) -> list[Document]:
    """Read ``results/corpora/{lang}.jsonl``.

    Raises
    ------
    BabelscopeError
        Where a line is not a document; file, line and the rule that remakes it are named.
    """
    documents = []
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BabelscopeError(f"{path}: cannot be read ({error}); rule sample_corpus remakes it") from error
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            document = Document(**json.loads(line))
        except (json.JSONDecodeError, TypeError) as error:
            raise BabelscopeError(
                f"{path}, line {number}: no document ({error}); delete it: rule sample_corpus remakes it"
            ) from None
        if document.split not in (PROFILE, HELDOUT):
            raise BabelscopeError(f"{path}, line {number}: split {document.split!r}, need profile or heldout")
        documents.append(document)
    if not documents:
        raise BabelscopeError(f"{path}: no document; delete it: rule sample_corpus remakes it")
    return documents


def _usable(stream: Iterable[tuple[str, str]], low: int, high: int) -> Iterator[tuple[str, str]]:
    """Documents that are long enough, cut, each text once."""
    seen: set[bytes] = set()
    for name, text in stream:
        text = text.strip()[:high].rstrip()
        if len(text) < low:
            continue
        digest = hashlib.sha256(" ".join(text.split()).encode()).digest()
        if digest not in seen:
            seen.add(digest)
            yield name, text


def _ranked(documents: Iterable[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Order by a seeded digest of the text: the same sample whatever the order of the files."""
    return sorted(documents, key=lambda doc: hashlib.sha256(f"{seed}\n{doc[1]}".encode()).digest())


def _read_hub(source: Mapping[str, Any], language: str, seed: int) -> Iterator[tuple[str, str]]:
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
        shuffled = stream.shuffle(
            seed=seed, **({"buffer_size": 10_000} if source.get("streaming", True) else {})
        )
        for number, row in enumerate(shuffled):
            yield f"{name}/{config}:{row.get('id', number)}", _text(row, source, f"{where}, row {number}")
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


def _read_files(source: Mapping[str, Any], language: str) -> Iterator[tuple[str, str]]:
    """Documents of local or packaged files, through `datasets`, with ids ``file:row``."""
    import datasets

    for path in _paths(source, language):
        suffix = path.suffix.lower()
        builder = "csv" if "columns" in source else _BUILDERS.get(suffix)
        if builder is None:
            raise BabelscopeError(f"{path}: ending {suffix!r}, need one of {', '.join(_BUILDERS)}")
        if builder != "parquet":
            _check_text(path)
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
                    yield f"{path.name}:{number}", _text(row, source, where)
            except BabelscopeError:
                raise
            except (datasets.exceptions.DatasetGenerationError, ValueError, OSError) as error:
                # readers of JSON, CSV and Parquet raise kinds of ValueError of their own
                raise BabelscopeError(
                    f"{path}: cannot be read as {builder} ({error.__cause__ or error})"
                ) from error


def _paths(source: Mapping[str, Any], language: str) -> list[Path]:
    if "package" in source:
        return [packaged_file(source["package"], source["file"])]
    pattern = source["files"].replace("{lang}", language)
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True)) if Path(match).is_file()]
    if not paths:
        raise BabelscopeError(f"language {language}: no file matches {pattern} (corpus.sources)")
    return paths


def _check_text(path: Path) -> None:
    """Refuse empty files, NUL bytes and bytes that are not UTF-8, naming file and line."""
    number = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if b"\0" in line:
                raise BabelscopeError(f"{path}, line {number}: holds a NUL byte; it is no text file")
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise BabelscopeError(
                    f"{path}, line {number}: not UTF-8 (byte {line[error.start]:#04x} at {error.start}); "
                    "convert the file, for instance with iconv"
                ) from None
    if number == 0:
        raise BabelscopeError(f"{path}: is empty")


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
