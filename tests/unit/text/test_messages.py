"""Messages of programs are read where they are installed; what is no sentence or no translation is not."""

from __future__ import annotations

import importlib.metadata
import json
import struct
from pathlib import PurePosixPath

import pytest

from babelscope.study.errors import BabelscopeError
from babelscope.text.messages import read_messages

ENGLISH = {
    "save": "Save your changes first",
    "name": "Kolibri",
    "left": "{count} lessons are left",
    "empty": "Nothing is here yet",
    "link": "Read more on https://example.org",
}
FRENCH = {
    "save": "Enregistrez d'abord vos modifications",
    "name": "Kolibri",
    "left": "Il reste {count} leçons",
    "empty": "",
    "link": "https://example.org : en savoir plus",
}
JSON = {"package": "program", "messages": "locale/{locale}/*.json", "locales": {"fr": "fr_FR"}}
MO = {"package": "program", "messages": "locale/{locale}/*.mo"}


def write_mo(path, messages):
    """gettext's binary format (GNU gettext manual, "The Format of GNU MO Files")."""
    pairs = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    encoded = [[text.encode() + b"\0" for text in pair] for pair in pairs]
    n = len(pairs)
    places, offset = [], 28 + 16 * n
    for column in (0, 1):
        for pair in encoded:
            places.append(struct.pack("<II", len(pair[column]) - 1, offset))
            offset += len(pair[column])
    head = struct.pack("<7I", 0x950412DE, 0, n, 28, 28 + 8 * n, 0, 28 + 16 * n)
    path.write_bytes(head + b"".join(places) + b"".join(pair[c] for c in (0, 1) for pair in encoded))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """An installed package with catalogues of both kinds."""
    for locale, messages in (("en", ENGLISH), ("fr_FR", FRENCH)):
        folder = tmp_path / "program" / "locale" / locale
        folder.mkdir(parents=True)
        (folder / "main.json").write_text(json.dumps(messages), encoding="utf-8")
        write_mo(folder / "main.mo", {} if locale == "en" else {"Hello\x04Hi": "x", "Open it": "Ouvrir"})

    class Entry(PurePosixPath):
        def locate(self):
            return tmp_path / self

    def files(package):
        if package != "program":
            raise importlib.metadata.PackageNotFoundError(package)
        return [Entry(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("main.*"))]

    monkeypatch.setattr(importlib.metadata, "files", files)
    return tmp_path


def test_sentences_are_read_by_id_and_what_is_not_translated_is_passed_over(program):
    assert dict(read_messages(JSON, "fr")) == {"save": FRENCH["save"]}
    assert list(dict(read_messages(JSON, "en"))) == ["save", "name", "empty"]


def test_short_messages_are_left_out_by_the_text_they_were_translated_from(program):
    assert list(dict(read_messages(JSON | {"min_original": 20}, "en"))) == ["save"]
    assert list(dict(read_messages(JSON | {"min_original": 24}, "fr"))) == []


def test_the_ids_of_gettext_are_the_text_of_its_source_locale(program):
    assert dict(read_messages(MO | {"locales": {"fr": "fr_FR"}}, "fr"))["Open it"] == "Ouvrir"
    assert dict(read_messages(MO, "en")) == {"Hello\x04Hi": "Hi", "Open it": "Open it"}


def test_what_is_missing_is_named(program):
    with pytest.raises(BabelscopeError, match="language de: package program has no messages in locale/de/"):
        list(read_messages(JSON, "de"))
    with pytest.raises(BabelscopeError, match="package other is not installed"):
        list(read_messages(JSON | {"package": "other"}, "fr"))
    (program / "program" / "locale" / "fr_FR" / "main.json").write_text("[1]")
    with pytest.raises(BabelscopeError, match=r"main\.json: cannot be read as a message catalogue"):
        list(read_messages(JSON, "fr"))
