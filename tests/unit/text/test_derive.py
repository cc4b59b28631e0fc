"""Pseudo-languages: one property is taken away, ids, splits and units stay."""

from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np
import pytest
from tests.tiny import make_corpus

from babelscope.study.errors import BabelscopeError
from babelscope.text.derive import DERIVATIONS, derive_documents, derive_tokens
from babelscope.text.documents import HELDOUT, PROFILE, Document

TEXTS = ["The old man read Books, slowly.", "यह एक बड़ा पेड़ है।", "我们今天去看书"]
DOCUMENTS = [
    Document(f"id {i}", text, HELDOUT if i == 0 else PROFILE, unit=i) for i, text in enumerate(TEXTS)
]


def derive(how, language="en"):
    return derive_documents(DOCUMENTS, language, {"how": how}, seed=0)


@pytest.mark.parametrize("how", [name for name, row in DERIVATIONS.items() if row.of_texts])
def test_ids_splits_and_units_stay_as_they_are(how):
    kept = [(d.id, d.split, d.unit) for d in derive(how)]
    assert kept == [(d.id, d.split, d.unit) for d in DOCUMENTS]
    assert derive(how) == derive(how)


def test_romanised_text_is_in_latin_letters_and_english_stays():
    english, hindi, chinese = (d.text for d in derive("romanise", "hi"))
    assert english == TEXTS[0]
    for text in (hindi, chinese):
        assert all("LATIN" in unicodedata.name(c) for c in text if c.isalpha())
    assert "badd" in hindi.replace(" ", "") or "bar" in hindi


def test_shuffled_words_are_the_same_words_and_characters_of_a_script_without_spaces():
    shuffled = [d.text for d in derive("shuffle_words")]
    for before, after in zip(TEXTS[:2], shuffled[:2], strict=True):
        assert sorted(before.split()) == sorted(after.split()) and before != after
    assert sorted(shuffled[2]) == sorted(TEXTS[2]) and " " not in shuffled[2]


def test_exchanged_letters_keep_lengths_frequencies_case_and_kind():
    for before, after in zip(TEXTS, (d.text for d in derive("permute_characters")), strict=True):
        assert before != after
        assert [unicodedata.category(c)[0] for c in before] == [unicodedata.category(c)[0] for c in after]
        assert [c.isupper() for c in before] == [c.isupper() for c in after]
    whole = Counter("".join(TEXTS).lower())
    changed = Counter("".join(d.text for d in derive("permute_characters")).lower())
    assert sorted(whole.values()) == sorted(changed.values())


def test_equal_tokens_cut_long_documents_and_leave_out_short_ones():
    corpus = make_corpus([5, 9, 3, 7], n_heldout=1)
    found = derive_tokens(corpus, {"how": "equal_tokens", "n_tokens": 5}, None)
    assert np.diff(found.offsets).tolist() == [5, 5, 5]
    assert found.document(1).tolist() == corpus.document(1)[:5].tolist()
    assert found.heldout.tolist() == [True, False, False]
    with pytest.raises(BabelscopeError, match="1 documents keep 8 tokens or more"):
        derive_tokens(corpus, {"how": "equal_tokens", "n_tokens": 8}, None)


def test_shared_and_unshared_tokens_are_all_tokens():
    corpus, other = make_corpus([20, 30, 30], 1), make_corpus([10, 40], 1, seed=1)
    shared, unshared = (
        derive_tokens(corpus, {"how": f"{kind}_tokens"}, other) for kind in ("shared", "unshared")
    )
    known = set(other.document(1).tolist())
    assert set(shared.token_ids.tolist()) <= known
    assert not set(unshared.token_ids.tolist()) & known
    assert len(shared.token_ids) + len(unshared.token_ids) == len(corpus.token_ids)
