"""Near copies of held-out documents and the other Chinese script."""

from __future__ import annotations

import logging

import pytest

from babelscope.text.documents import HELDOUT, PROFILE, sample_documents
from babelscope.text.screening import NearCopies, is_written_in, shingles

SIMPLIFIED = "这个国家的历史与语言学习有关系,经济发展也很快。"
TRADITIONAL = "這個國家的歷史與語言學習有關係,經濟發展也很快。"
SAMPLING = {"min_characters": 10, "max_characters": 4000, "allow_fewer": False, "seed": 0}


def test_shingles_are_the_runs_of_five_characters_case_and_spaces_aside():
    assert shingles("Abc  DEf") == {"abc d", "bc de", "c def"}
    assert shingles("ab") == {"ab"}


def test_resemblance_is_the_share_of_shingles_in_common():
    # abcde, bcdef against bcdef, cdefg: one of three
    assert NearCopies(["abcdef", "zzzzzz"]).resemblance("bcdefg") == pytest.approx(1 / 3)
    assert NearCopies([]).resemblance("abcdef") == 0
    same = NearCopies(["The same sentence, dated 2015-07-31."])
    assert "the same  sentence, dated 2015-07-30." in same
    assert "Another sentence altogether, dated 2015." not in same


def test_near_copies_of_heldout_documents_are_profile_documents_only_in_need(tmp_path, caplog):
    letters = "abcdefghijklmnopqrst"
    lines = [f"{letter * 8} {other * 8} {letter}" for letter in letters for other in letters[:6]]
    copies = [line + "!" for line in lines]
    (tmp_path / "en.txt").write_text("\n".join([*lines, *copies]) + "\n", encoding="utf-8")
    source = {"files": str(tmp_path / "{lang}.txt")}

    def sample(n):
        return sample_documents("en", source, heldout_documents=20, profile_documents=n, **SAMPLING)

    def near(documents):
        heldout = NearCopies(doc.text for doc in documents if doc.split == HELDOUT)
        return [doc.text in heldout for doc in documents if doc.split == PROFILE]

    few = sample(30)
    assert not any(near(few)) and not caplog.records
    with caplog.at_level(logging.WARNING):
        all_ = sample(220)
    assert all_[:50] == few
    n_clean = near(all_).count(False)
    assert near(all_) == [False] * n_clean + [True] * (220 - n_clean) and 30 < n_clean < 220
    assert "near copies of held-out ones" in caplog.text


def test_simplified_and_traditional_chinese_are_told_from_each_other():
    assert is_written_in(SIMPLIFIED, "Hans") and not is_written_in(SIMPLIFIED, "Hant")
    assert is_written_in(TRADITIONAL, "Hant") and not is_written_in(TRADITIONAL, "Hans")
    assert not is_written_in("no Chinese here", "Hans")


def test_a_source_can_ask_for_one_chinese_script(tmp_path):
    lines = [f"{text[i:]}{text[:i]}" for i in range(20) for text in (SIMPLIFIED, TRADITIONAL)]
    (tmp_path / "zh.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = {"files": str(tmp_path / "{lang}.txt"), "script": "Hans"}
    documents = sample_documents("zh", source, heldout_documents=2, profile_documents=18, **SAMPLING)
    assert all(is_written_in(document.text, "Hans") for document in documents)
