"""Sampling documents: deterministic, disjoint, and clear about what it cannot read."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os
import random

import pytest

from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import (
    HELDOUT,
    PROFILE,
    Document,
    read_documents,
    sample_documents,
    write_documents,
)

SENTENCES = [f"This is sentence number {i} of the text." for i in range(30)]


def sample(source, language="en", **changes):
    sampling = {
        "profile_documents": 10,
        "heldout_documents": 5,
        "min_characters": 10,
        "max_characters": 4000,
        "allow_fewer": False,
        "seed": 0,
    }
    return sample_documents(language, source, **(sampling | changes))


def texts(documents, split=None):
    return [document.text for document in documents if split in (None, document.split)]


@pytest.fixture
def text_file(tmp_path):
    def write(*lines, name="en.txt"):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {"files": str(tmp_path / "{lang}.txt")}

    return write


def test_heldout_and_profile_documents_are_apart(text_file):
    documents = sample(text_file(*SENTENCES))
    profile, heldout = texts(documents, PROFILE), texts(documents, HELDOUT)
    assert (len(profile), len(heldout)) == (10, 5)
    assert len(set(profile + heldout)) == 15
    assert set(profile + heldout) <= set(SENTENCES)
    assert len({document.id for document in documents}) == 15


def test_duplicates_of_text_are_dropped_also_where_spaces_differ(text_file):
    doubled = [*SENTENCES[:15], *SENTENCES[:15], *(s.replace(" ", "  ") + "\t" for s in SENTENCES[:15])]
    documents = sample(text_file(*doubled))
    assert len({" ".join(text.split()) for text in texts(documents)}) == 15
    with pytest.raises(BabelscopeError, match="language en: 15 documents"):
        sample(text_file(*doubled), profile_documents=11)


def test_texts_that_are_alike_once_cut_are_duplicates(text_file):
    lines = [f"the same beginning of every line, then {i}" for i in range(20)]
    with pytest.raises(BabelscopeError, match="language en: 1 documents"):
        sample(text_file(*lines), max_characters=20)


def test_the_sample_depends_on_the_seed_and_on_nothing_else(text_file):
    first = sample(text_file(*SENTENCES))
    shuffled = random.Random(1).sample(SENTENCES, 30)
    assert texts(sample(text_file(*shuffled))) == texts(first)
    assert sample(text_file(*SENTENCES)) == first
    assert texts(sample(text_file(*SENTENCES), seed=1)) != texts(first)


def test_asking_for_more_keeps_the_documents_there_were(text_file):
    source = text_file(*SENTENCES)
    assert sample(source, profile_documents=20)[:15] == sample(source)


def test_too_few_documents_is_an_error_that_says_how_many_there_were(text_file):
    source = text_file(*SENTENCES[:12], "short")
    with pytest.raises(
        BabelscopeError,
        match=r"language en: 12 documents of at least 10 characters, need 5 held-out \+ 10 profile = 15",
    ):
        sample(source)
    fewer = sample(source, allow_fewer=True)
    assert (len(texts(fewer, HELDOUT)), len(texts(fewer, PROFILE))) == (5, 7)


def test_at_least_one_profile_document_is_needed(text_file):
    with pytest.raises(BabelscopeError, match="5 documents"):
        sample(text_file(*SENTENCES[:5]), allow_fewer=True)


def test_short_documents_are_passed_over_and_long_ones_cut(text_file):
    long = [f"{i} " + "x" * 100 for i in range(20)]
    documents = sample(text_file("tiny", "", "   ", *long), max_characters=50)
    assert {len(text) for text in texts(documents)} == {50}


def test_every_format_gives_the_same_documents(tmp_path, text_file):
    import pyarrow
    import pyarrow.parquet

    tricky = ['He said "no", and left.', "a, b, c and so on", "NA and null are words", *SENTENCES]
    expected = texts(sample(text_file(*tricky)))
    with open(tmp_path / "a.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"body": text, "n": i}) + "\n" for i, text in enumerate(tricky))
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["body", "n"], *([text, i] for i, text in enumerate(tricky))])
    pyarrow.parquet.write_table(pyarrow.table({"body": tricky}), tmp_path / "a.parquet")
    for ending in ("jsonl", "csv", "parquet"):
        found = sample({"files": str(tmp_path / f"a.{ending}"), "text_column": "body"})
        assert texts(found) == expected, ending
        assert found[0].id.startswith(f"a.{ending}:")


def test_several_files_match_one_pattern(tmp_path):
    (tmp_path / "en").mkdir()
    for part in range(3):
        lines = SENTENCES[part * 10 : part * 10 + 10]
        (tmp_path / "en" / f"{part}.txt").write_text("\n".join(lines), encoding="utf-8")
    found = sample({"files": str(tmp_path / "{lang}" / "*.txt")}, profile_documents=25)
    assert set(texts(found)) == set(SENTENCES)


def test_lines_of_other_languages_are_passed_over(tmp_path):
    lines = [f"{code}\t{code} {text}" for text in SENTENCES for code in ("en", "de")]
    (tmp_path / "all.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {"columns": ["language", "text"], "language_column": "language"}
    found = sample({"files": str(tmp_path / "all.txt"), **columns}, "de")
    assert all(text.startswith("de ") for text in texts(found))


def test_a_byte_order_mark_is_no_letter(text_file):
    documents = sample(text_file("\ufeffThe first line of a file", *SENTENCES[:14]))
    assert "The first line of a file" in texts(documents)


def test_quotes_in_a_tab_separated_file_are_letters(tmp_path):
    lines = [f'en\t"quoted {i} at its start only' for i in range(20)]
    (tmp_path / "all.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {"columns": ["language", "text"], "language_column": "language"}
    found = sample({"files": str(tmp_path / "all.txt"), **columns})
    assert all(text.startswith('"quoted ') for text in texts(found))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"en\.txt: is empty"),
        (b"a good line\nbad \xff\xfe line\n", r"en\.txt, line 2: not UTF-8 \(byte 0xff at 4\)"),
        ("good\nlatin-1: caf\u00e9\n".encode("latin-1"), r"en\.txt, line 2: not UTF-8 \(byte 0xe9 at 12\)"),
        (b"one\ntwo\nthr\0ee\n", r"en\.txt, line 3: holds a NUL byte"),
        ("utf-16 text\n".encode("utf-16-le"), r"en\.txt, line 1: holds a NUL byte"),
    ],
)
def test_what_is_no_text_is_refused_with_file_and_line(tmp_path, content, message):
    (tmp_path / "en.txt").write_bytes(content)
    with pytest.raises(BabelscopeError, match=message):
        sample({"files": str(tmp_path / "{lang}.txt")})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "fine enough"}\n{"text": \n', r"a\.jsonl"),
        ("a.jsonl", '{"body": "fine enough"}\n', r"a\.jsonl, row 1: no column 'text'; there are \['body'\]"),
        (
            "a.jsonl",
            '{"text": "nul \\u0000 inside"}\n',
            r"a\.jsonl, row 1: column 'text' holds a NUL character",
        ),
        ("a.jsonl", '{"text": "half of a pair: \\ud800"}\n', r"a\.jsonl: cannot be read as json"),
        ("a.csv", 'text\n"a quote that never ends\n', r"a\.csv: cannot be read as csv"),
        ("a.jsonl", '{"text": 5}\n', r"a\.jsonl, row 1: column 'text' holds int, need text"),
        ("a.csv", "id,body\n1,hello\n", r"a\.csv, row 1: no column 'text'; there are \['body', 'id'\]"),
        ("a.parquet", "no parquet at all", r"a\.parquet: cannot be read as parquet"),
        ("a.docx", "anything", r"a\.docx: ending '\.docx', need one of \.txt, \.jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(BabelscopeError, match=message):
        sample({"files": str(tmp_path / name)})


def test_a_pattern_without_files_names_language_and_pattern(tmp_path):
    with pytest.raises(BabelscopeError, match=r"language de: no file matches .*de\.txt"):
        sample({"files": str(tmp_path / "{lang}.txt")}, "de")


def test_a_package_that_is_not_there_says_so():
    with pytest.raises(BabelscopeError, match="package nowhere-to-be-found is not installed"):
        sample({"package": "nowhere-to-be-found", "file": "a.txt"})
    with pytest.raises(BabelscopeError, match=r"package eld has 0 files that end in 'a\.txt', need one"):
        sample({"package": "eld", "file": "a.txt"})


def test_written_documents_come_back(tmp_path, text_file):
    documents = sample(text_file(*SENTENCES, "Zeilen\u2028trenner und \x85 darin"), profile_documents=25)
    write_documents(tmp_path / "en.jsonl", documents, "en")
    assert read_documents(tmp_path / "en.jsonl", "en") == documents
    for line in (tmp_path / "en.jsonl").read_text(encoding="utf-8").splitlines():
        assert line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "line 2: no JSON"),
        (lambda text: text.splitlines()[0] + "\n", "damaged"),
        (lambda text: text.replace("profile", "heldout"), "damaged"),
        (lambda text: "[1, 2, 3]\n", "line 1: .* is no object"),
        (lambda text: "[" * 100_000, "line 1: no JSON"),
        (lambda text: "", "no line in it; delete it and run again: rule sample_corpus remakes it"),
        (lambda text: text.replace('"en"', '"fr"'), "made with language = 'fr', this run has 'en'"),
    ],
)
def test_a_damaged_corpus_is_refused(tmp_path, change, message):
    file = tmp_path / "en.jsonl"
    write_documents(file, [Document("a", "b", "profile"), Document("c", "d", "profile")], "en")
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(BabelscopeError, match=message):
        read_documents(file, "en")


def test_the_corpus_of_another_language_is_refused_with_both_names(tmp_path):
    write_documents(tmp_path / "fr.jsonl", [Document("a", "b", "profile")], "en")
    with pytest.raises(BabelscopeError, match="made with language = 'en', this run has 'fr'"):
        read_documents(tmp_path / "fr.jsonl", "fr")


@pytest.mark.parametrize("changed", ["\u200b".join, "\ufeff".join, "\u00ad".join])
def test_texts_that_look_the_same_are_one_document(text_file, changed):
    hidden = [changed([s[:7], s[7:]]) for s in SENTENCES[:15]]
    wide = [s.replace("T", "\uff34") for s in SENTENCES[:15]]
    with pytest.raises(BabelscopeError, match="language en: 15 documents"):
        sample(text_file(*SENTENCES[:15], *hidden, *wide), profile_documents=11)


@pytest.mark.parametrize(("ending", "module"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
@pytest.mark.parametrize("name", ["en.txt", "en.jsonl", "en.csv"])
def test_compressed_files_are_read_as_what_they_hold(tmp_path, ending, module, name):
    rows = {
        "en.txt": SENTENCES,
        "en.jsonl": [json.dumps({"text": s}) for s in SENTENCES],
        "en.csv": ["text", *SENTENCES],
    }[name]
    (tmp_path / f"{name}.{ending}").write_bytes(module.compress("\n".join(rows).encode()))
    found = sample({"files": str(tmp_path / "{lang}.*")})
    assert set(texts(found)) <= set(SENTENCES)


def test_a_cut_compressed_file_is_refused(tmp_path):
    whole = gzip.compress("\n".join(SENTENCES).encode())
    (tmp_path / "en.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BabelscopeError, match=r"en\.txt\.gz: cannot be read"):
        sample({"files": str(tmp_path / "{lang}.txt.gz")})


@pytest.mark.parametrize("deep", ["[" * 100_000 + "]" * 100_000, '{"a":' * 1000 + "1" + "}" * 1000])
def test_json_nested_too_deep_is_refused_with_its_line(tmp_path, deep):
    lines = [json.dumps({"text": SENTENCES[0]}), '{"text": "x", "more": ' + deep + "}"]
    (tmp_path / "en.jsonl").write_text("\n".join(lines))
    with pytest.raises(BabelscopeError, match=r"en\.jsonl, line 2: JSON nested more than 200 deep"):
        sample({"files": str(tmp_path / "{lang}.jsonl")})


def test_brackets_in_a_text_are_letters(tmp_path):
    lines = [json.dumps({"text": f"{s} {'[' * 300}"}) for s in SENTENCES]
    (tmp_path / "en.jsonl").write_text("\n".join(lines))
    assert len(sample({"files": str(tmp_path / "{lang}.jsonl")})) == 15


def test_more_columns_than_are_named_are_refused(tmp_path):
    (tmp_path / "all.tsv").write_text("".join(f"en\t{i}\t{s}\n" for i, s in enumerate(SENTENCES)))
    source = {"files": str(tmp_path / "all.tsv"), "columns": ["lang", "text"], "language_column": "lang"}
    with pytest.raises(BabelscopeError, match=r"all\.tsv, line 1: 3 columns, corpus\.sources names 2"):
        sample(source)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("text", "it is a folder; for all files in it write .*text/\\*"),
        ("pipe", "it is no regular file"),
        ("{en,fr}.txt", "braces are taken literally"),
        ("nowhere/{lang}.txt", "there is no folder .*nowhere"),
        ("{lang}.md", "nothing has such a name"),
    ],
)
def test_a_pattern_that_matches_no_file_says_why(tmp_path, pattern, reason):
    (tmp_path / "text").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BabelscopeError, match=rf"language en: no file matches .*: {reason}"):
        sample({"files": str(tmp_path / pattern)})


def test_an_address_is_no_file():
    with pytest.raises(BabelscopeError, match="it is an address"):
        sample({"files": "https://example.org/{lang}.txt"})
