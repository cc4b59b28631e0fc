"""Parallel documents: what has one id goes into one split and one block in every language."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from babelscope.recording.counts import ActivationCounts
from babelscope.recording.parallel import align, find_translations, rows_of
from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import HELDOUT, PROFILE, read_documents, sample_documents, write_documents
from babelscope.text.parallel import is_heldout, unit_of

SAMPLING = {
    "profile_documents": 30,
    "heldout_documents": 6,
    "min_characters": 5,
    "max_characters": 4000,
    "allow_fewer": False,
    "seed": 0,
}


@pytest.fixture
def corpora(tmp_path):
    """Files of three languages with ids; French lacks every tenth sentence."""
    for language in ("en", "fr", "hi"):
        lines = [
            json.dumps({"key": f"message {i}", "text": f"{language} says {i * 7919} in words of its own"})
            for i in range(90)
            if language != "fr" or i % 10
        ]
        (tmp_path / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return {"files": str(tmp_path / "{lang}.jsonl"), "parallel": True, "id_column": "key"}


def ids(documents, split):
    return {document.id for document in documents if document.split == split}


def test_translations_are_in_the_same_split_although_no_language_looks_at_another(corpora):
    found = {language: sample_documents(language, corpora, **SAMPLING) for language in ("en", "fr", "hi")}
    assert [d.id for d in found["en"]] == [d.id for d in found["hi"]]
    assert ids(found["fr"], HELDOUT).isdisjoint(ids(found["en"], PROFILE))
    assert ids(found["fr"], PROFILE).isdisjoint(ids(found["en"], HELDOUT))
    assert len(ids(found["fr"], PROFILE) & ids(found["en"], PROFILE)) >= 25
    assert all(d.unit == unit_of(d.id, 0) for d in found["fr"])
    assert all(is_heldout(d.unit) == (d.split == HELDOUT) for d in found["fr"])


def test_more_documents_move_no_id_from_one_split_to_the_other(corpora):
    few = sample_documents("en", corpora, **SAMPLING)
    many = sample_documents("en", corpora, **(SAMPLING | {"profile_documents": 60, "heldout_documents": 3}))
    assert ids(few, PROFILE) <= ids(many, PROFILE)
    assert ids(many, HELDOUT) <= ids(few, HELDOUT)


def test_units_survive_the_file_of_documents(corpora, tmp_path):
    documents = sample_documents("hi", corpora, **SAMPLING)
    write_documents(tmp_path / "hi.jsonl", documents, "hi")
    assert read_documents(tmp_path / "hi.jsonl", "hi") == documents


def test_a_row_without_its_id_is_named(corpora, tmp_path):
    with pytest.raises(BabelscopeError, match=r"en\.jsonl, row 1: need an id.*'sentence'"):
        sample_documents("en", corpora | {"id_column": "sentence"}, **SAMPLING)


@pytest.mark.parametrize("value", ["", None, 1.5, ["a"]])
def test_an_id_that_is_neither_text_nor_a_number_is_refused(tmp_path, value):
    rows = [json.dumps({"key": value, "text": "words of its own"})]
    (tmp_path / "en.jsonl").write_text("\n".join(rows), encoding="utf-8")
    source = {"files": str(tmp_path / "{lang}.jsonl"), "parallel": True, "id_column": "key"}
    with pytest.raises(BabelscopeError, match=r"en\.jsonl, row 1: need an id, text or a whole number.*'key'"):
        sample_documents("en", source, **SAMPLING)


def test_documents_with_the_same_id_are_left_out_and_counted(corpora, tmp_path, caplog, monkeypatch):
    path = tmp_path / "en.jsonl"
    again = [json.dumps({"key": f"message {i}", "text": f"said once more {i}"}) for i in range(4)]
    path.write_text(path.read_text(encoding="utf-8") + "\n" + "\n".join(again), encoding="utf-8")
    monkeypatch.setattr(logging.getLogger("babelscope"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        found = sample_documents("en", corpora, **SAMPLING)
    assert not any("once more" in document.text for document in found)
    assert "language en: 4 of 94 parallel documents have the id of another one" in caplog.text
    assert "is 'key' the column of ids?" in caplog.text


def test_too_few_documents_say_how_many_can_be_held_out(corpora):
    with pytest.raises(BabelscopeError, match="one id in 5 can be held out"):
        sample_documents("en", corpora, **(SAMPLING | {"heldout_documents": 40}))


def counts_of(units, value):
    """Each document has as many tokens as its unit says, all of them for one expert."""
    n_active = np.zeros((len(units), 1, 2), dtype=np.int64)
    n_active[:, 0, value] = units
    return ActivationCounts(n_active, np.array(units), 1, unit=np.array(units))


def test_recordings_are_compared_on_the_documents_that_all_languages_have():
    recordings = [counts_of([5, 1, 3, 7], 0), counts_of([7, 5, 2, 3], 1)]
    first, second = align(recordings, ["en", "fr"], 1, 100)
    assert first.n_tokens.tolist() == second.n_tokens.tolist() == [3, 5, 7]
    assert first.paired and second.paired
    assert second.n_active[:, 0].tolist() == [[0, 3], [0, 5], [0, 7]]
    assert align(recordings, ["en", "fr"], 1, 2)[0].n_tokens.tolist() == [8, 7]


def test_missing_translations_are_counted():
    found = find_translations([np.array([5, 1, 3]), np.array([3, 5])])
    assert (found.n_any, found.n_missing.tolist(), found.common.tolist()) == (3, [0, 1], [3, 5])
    assert rows_of(np.array([5, 1, 3]), found.common).tolist() == [2, 0]


def test_languages_with_too_little_in_common_are_refused():
    with pytest.raises(
        BabelscopeError, match=r"1 parallel documents are in all of en, fr.*fr has the fewest"
    ):
        align([counts_of([1, 2, 3], 0), counts_of([3, 9], 1)], ["en", "fr"], 1, 100)
