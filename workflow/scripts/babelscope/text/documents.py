"""Sampling the documents of one language from files, installed packages or the hub.

The sample is deterministic and grows at its end: more documents keep the ones there were.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from babelscope.files.kind import Kind
from babelscope.files.record import read_lines, write_lines
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger
from babelscope.text.screening import NearCopies, as_read, is_written_in
from babelscope.text.sources import read_files, read_hub

PROFILE, HELDOUT = "profile", "heldout"
CORPUS = Kind(
    "corpus",
    "../corpora/{lang}.jsonl",
    "sample_corpus",
    ("language",),
    fields={
        "id": "where the document came from",
        "text": "the document",
        "split": "profile or heldout",
        "language": "code of the language",
        "seal": "first digits of the SHA-256 of all lines",
    },
)


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

    A document that is nearly a held-out one (``NearCopies``) becomes a profile document only where there are
    not enough others, after all of these, and a warning says how many.

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
        stream = read_hub(source, language, seed)
    else:
        stream = _ranked(read_files(source, language), seed)
    wanted = heldout_documents + profile_documents
    usable = _usable(stream, min_characters, max_characters, source.get("script", ""))
    chosen = list(itertools.islice(usable, heldout_documents))
    chosen += itertools.islice(
        _copies_last(usable, [text for _, text in chosen], language), profile_documents
    )
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


def write_documents(path: str | Path, documents: Iterable[Document], language: str) -> None:
    """Write ``results/corpora/{lang}.jsonl``, one document per line."""
    write_lines(path, CORPUS, (asdict(document) for document in documents), language=language)


def read_documents(path: str | Path, language: str) -> list[Document]:
    """Read ``results/corpora/{lang}.jsonl`` of this language.

    Raises
    ------
    BabelscopeError
        Where the file is damaged or of another language; it and the rule that remakes it are named.
    """
    documents = []
    for number, row in enumerate(read_lines(path, CORPUS, language=language), start=1):
        try:
            document = Document(**row)
        except TypeError as error:
            raise BabelscopeError(f"{path}, document {number}: {error}; {CORPUS.remake}") from None
        if document.split not in (PROFILE, HELDOUT):
            raise BabelscopeError(
                f"{path}, document {number}: split {document.split!r}, need profile or heldout"
            )
        documents.append(document)
    return documents


def _usable(stream: Iterable[tuple[str, str]], low: int, high: int, script: str) -> Iterator[tuple[str, str]]:
    """Documents that are long enough, cut, in the script if one is named, each text once."""
    seen: set[bytes] = set()
    for name, text in stream:
        text = text.strip()[:high].rstrip()
        if len(text) < low or (script and not is_written_in(text, script)):
            continue
        digest = hashlib.sha256(as_read(text).encode("utf-8", "surrogatepass")).digest()
        if digest not in seen:
            seen.add(digest)
            yield name, text


def _copies_last(
    documents: Iterable[tuple[str, str]], heldout: Iterable[str], language: str
) -> Iterator[tuple[str, str]]:
    """Documents in their order, near copies of held-out ones after all others."""
    taken = NearCopies(heldout)
    copies = []
    for document in documents:
        if document[1] in taken:
            copies.append(document)
        else:
            yield document
    if copies:
        logger.warning(
            "language %s: no other documents are left; %d more are near copies of held-out ones",
            language,
            len(copies),
        )
    yield from copies


def _ranked(documents: Iterable[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Order by a seeded digest of the text: the same sample whatever the order of the files."""
    return sorted(documents, key=lambda doc: hashlib.sha256(f"{seed}\n{doc[1]}".encode()).digest())
