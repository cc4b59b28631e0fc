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
from babelscope.text.messages import read_messages
from babelscope.text.parallel import HELDOUT_EVERY, ordered_units
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
        "unit": "of a parallel document, what its id stands for; the same in every language",
        "language": "code of the language",
        "seal": "first digits of the SHA-256 of all lines",
    },
)


@dataclass(frozen=True)
class Document:
    """One document: ``id`` says where it came from, ``split`` is ``profile`` or ``heldout``.

    ``unit`` is a number that translations of a parallel document share (``unit_of``); None of others.
    """

    id: str
    text: str
    split: str
    unit: int | None = None


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

    Of a parallel source the ids alone decide order and split, so that translations go together.

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
    limits = (min_characters, max_characters, source.get("script", ""))
    stream = _stream(source, language, seed)
    if source.get("parallel"):
        documents = list(stream)
        first, rest = ordered_units(documents, seed)
        _say_repeated(len(documents) - len(first) - len(rest), len(documents), source, language)
        units = {name: unit for unit, name, _ in (*first, *rest)}
        usable = _usable([one[1:] for one in first], *limits)
        heldout = list(itertools.islice(usable, heldout_documents))
        others = _usable([one[1:] for one in rest], *limits, [text for _, text in heldout])
    else:
        units = {}
        others = _usable(stream if "hub" in source else _ranked(stream, seed), *limits)
        heldout = list(itertools.islice(others, heldout_documents))
    near = _copies_last(others, [text for _, text in heldout], language)
    profile = list(itertools.islice(near, profile_documents))
    enough = len(heldout) == heldout_documents and len(profile) == profile_documents
    if not enough and not (allow_fewer and len(heldout) == heldout_documents and profile):
        n_found, n_wanted = len(heldout) + len(profile), heldout_documents + profile_documents
        share = f", and one id in {HELDOUT_EVERY} can be held out: {len(heldout)}" if units else ""
        raise BabelscopeError(
            f"language {language}: {n_found} documents of at least {min_characters} characters{share}, "
            f"need {heldout_documents} held-out + {profile_documents} profile = {n_wanted}; ask for fewer "
            "(corpus.profile_documents), add text, or set corpus.allow_fewer: true"
        )
    return [
        *(Document(name, text, HELDOUT, units.get(name)) for name, text in heldout),
        *(Document(name, text, PROFILE, units.get(name)) for name, text in profile),
    ]


def write_documents(path: str | Path, documents: Iterable[Document], language: str) -> None:
    """Write ``results/corpora/{lang}.jsonl``, one document per line."""
    rows = (asdict(document) for document in documents)
    said = ({name: value for name, value in row.items() if value is not None} for row in rows)
    write_lines(path, CORPUS, said, language=language)


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


def _stream(source: Mapping[str, Any], language: str, seed: int) -> Iterator[tuple[str, str]]:
    """Ids and texts of a source; those of the hub in a seeded order."""
    if "hub" in source:
        return read_hub(source, language, seed)
    return read_messages(source, language) if "messages" in source else read_files(source, language)


def _usable(
    stream: Iterable[tuple[str, str]], low: int, high: int, script: str, without: Iterable[str] = ()
) -> Iterator[tuple[str, str]]:
    """Documents that are long enough, cut, in the script if one is named; each text once, none of some."""
    seen = {_digest(text) for text in without}
    for name, text in stream:
        text = text.strip()[:high].rstrip()
        if len(text) < low or (script and not is_written_in(text, script)):
            continue
        digest = _digest(text)
        if digest not in seen:
            seen.add(digest)
            yield name, text


def _say_repeated(n_repeated: int, n: int, source: Mapping[str, Any], language: str) -> None:
    """Warn of documents that were left out because another one has their id."""
    if n_repeated:
        column = f": is {source['id_column']!r} the column of ids?" if "id_column" in source else ""
        logger.warning(
            "language %s: %d of %d parallel documents have the id of another one and are left out%s",
            language,
            n_repeated,
            n,
            column,
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(as_read(text).encode("utf-8", "surrogatepass")).digest()


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
