"""The text around the tokens that activate a unit, and the file ``contexts/{lang}.jsonl``."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.explorer.units import Unit
from babelscope.files.kind import Kind
from babelscope.files.record import read_lines, write_lines
from babelscope.recording.job_files import JobFiles
from babelscope.recording.peaks import Peaks, read_peaks
from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import Document, read_documents
from babelscope.text.tokenise import Encoder
from babelscope.text.tokens import TokenizedCorpus, documents_digest

CONTEXTS = Kind(
    "contexts",
    "contexts/{lang}.jsonl",
    "write_contexts",
    ("model", "language"),
    fields={
        "unit": "name of an expert (L3E117) or a neuron (L3N1024)",
        "chosen": "why it is here: a language that it is specific to, shared, or listed in the configuration",
        "sample": "top: tokens of the largest score, each of another document; random",
        "score": "z-score of the expert, activation of the neuron; of a routed expert its router's weight",
        "active": "true at random tokens of an expert: it is among the active ones",
        "document": "id of the document in corpora/{lang}.jsonl",
        "position": "number of the token in the document, from 0",
        "token": "its text; missing where contexts.text is false, like left and right",
        "left": "text before it",
        "right": "text after it",
        "seal": "first digits of the SHA-256 of all lines",
    },
)
TOP, RANDOM = "top", "random"


@dataclass(frozen=True)
class Texts:
    """Documents of one language with the places where their tokens end.

    Attributes
    ----------
    documents : in the order of ``tokens/{lang}.h5``. encode : the model's encoder.
    characters : of text on each side of a token at most; None: no text at all.
    """

    corpus: TokenizedCorpus
    documents: Sequence[Document]
    encode: Encoder
    characters: int | None

    def around(self, number: int, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Entries of a context that say where it is, and its text, for tokens of one document.

        A token that is a part of a character shows the whole of it.

        Raises
        ------
        BabelscopeError
            Where the text is not what the tokens were made of.
        """
        document = self.documents[number]
        places = [{"document": document.id, "position": position} for position in positions]
        if self.characters is None:
            return places
        ids, ends = self.encode(document.text)
        own = self.corpus.document(number)
        if ids[: len(own)] != own.tolist():
            raise BabelscopeError(
                f"document {document.id}: its text is not that of its tokens; delete tokens and corpora and "
                "run again"
            )
        cut = ends[len(own) - 1]
        for place, position in zip(places, positions, strict=True):
            end, start = ends[position], 0
            for earlier in range(position - 1, -1, -1):
                if ends[earlier] < end:
                    start = ends[earlier]
                    break
            text = document.text
            first = _next_whole(text, max(0, start - self.characters), start)
            place |= {"token": text[start:end], "left": text[first:start]}
            place["right"] = text[end : _last_whole(text, end, min(cut, end + self.characters))]
        return places


def _next_whole(text: str, place: int, stop: int) -> int:
    """The first place from ``place`` on, up to ``stop``, that does not tear a mark from its letter."""
    while place < stop and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return place


def _last_whole(text: str, start: int, place: int) -> int:
    """The last place up to ``place``, from ``start`` on, that does not tear a mark from its letter."""
    while start < place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place -= 1
    return place


def find_contexts(units: Sequence[Unit], peaks: Peaks, texts: Texts, shown_random: int) -> Iterator[dict]:
    """Rows of ``contexts/{lang}.jsonl``: for each unit its best tokens, then random ones.

    Parameters
    ----------
    units : to write. peaks : of the language, best first.
    shown_random : random tokens per unit at most; of an expert those at which it is active.
    """
    rows = [row for unit in units for row in _rows(unit, peaks, shown_random)]
    places: dict[tuple[int, int], dict[str, Any]] = {}
    wanted: dict[int, set[int]] = {}
    for _, number, position in rows:
        wanted.setdefault(number, set()).add(position)
    for number, positions in wanted.items():
        order = sorted(positions)
        for position, place in zip(order, texts.around(number, [max(p, 0) for p in order]), strict=True):
            places[number, position] = place | {"position": position}
    for row, number, position in rows:
        yield row | places[number, position]


def _rows(unit: Unit, peaks: Peaks, shown_random: int) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Rows without their places, and document and position of each."""
    is_expert = unit.kind == "expert"
    best, sample, cell = peaks.expert if is_expert else peaks.neuron, peaks.sample, (unit.layer, unit.number)
    named = {"unit": unit.name, "chosen": unit.chosen}
    documents = best.documents[:, *cell]
    for rank in np.flatnonzero(documents >= 0):
        row = named | {"sample": TOP, "score": _rounded(best.score[rank, *cell])}
        yield row, int(documents[rank]), int(best.position[rank, *cell])
    rows = np.flatnonzero(sample.active[:, *cell]) if is_expert else np.arange(len(sample.document))
    scores = sample.z if is_expert else sample.activation
    for number in rows[:shown_random]:
        row = named | {"sample": RANDOM, "score": _rounded(scores[number, *cell])}
        row |= {"active": True} if is_expert else {}
        yield row, int(sample.document[number]), int(sample.position[number])


def _rounded(score: np.float32) -> float:
    return float(f"{float(score):.6g}")


def write_all(
    job_input: Any,
    outputs: Sequence[str],
    units: Sequence[Unit],
    files: JobFiles,
    encode: Encoder,
    languages: Sequence[str],
    *,
    text: bool,
    characters: int,
    shown_random: int,
) -> None:
    """Write the contexts of every language, one file each, in the order of ``languages``.

    Parameters
    ----------
    job_input : inputs named ``peaks``, ``tokens`` and ``texts``, one file per language each.
    files : model and experts that the peaks must be of.
    text : False: positions alone. characters, shown_random : see ``Texts`` and ``find_contexts``.
    """
    model = files.info.name
    corpora = files.corpora(languages)
    rows = zip(languages, job_input.peaks, corpora, job_input.texts, outputs, strict=True)
    for code, peaks, corpus, documents, output in rows:
        sha256 = documents_digest(corpus, corpus.profile_idx)
        made = {"experts_sha256": files.experts.sha256, "documents_sha256": sha256}
        found = read_peaks(peaks, model=model, language=code, **made)
        texts = Texts(corpus, read_documents(documents, code), encode, characters if text else None)
        write_contexts(output, find_contexts(units, found, texts, shown_random), model, code)


def write_contexts(path: str | Path, rows: Iterator[dict[str, Any]], model: str, language: str) -> None:
    """Write ``contexts/{lang}.jsonl``, whole or not at all."""
    write_lines(path, CONTEXTS, rows, model=model, language=language)


def read_contexts(path: str | Path, model: str, language: str) -> list[dict[str, Any]]:
    """Read ``contexts/{lang}.jsonl`` of this model and language, rows as they were written."""
    return read_lines(path, CONTEXTS, model=model, language=language)
