"""Documents to tokens: cut at so many tokens, bytes counted, no special tokens."""

from __future__ import annotations

import pytest
from tests.tiny import BOS, save_model

from babelscope.model.info import describe_model
from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import HELDOUT, PROFILE, Document
from babelscope.text.tokenise import load_encoder, tokenize_documents


def letters(text):
    """One token a letter that is no space, its number the code point."""
    places = [place for place, letter in enumerate(text) if letter != " "]
    return [ord(text[place]) for place in places], [place + 1 for place in places]


DOCUMENTS = [Document("a", "ab c", HELDOUT), Document("b", "नम", PROFILE), Document("c", "x y z", PROFILE)]


def test_documents_are_cut_and_their_bytes_are_those_of_the_tokens():
    corpus = tokenize_documents(DOCUMENTS, letters, 2, bos_token_id=7)
    assert [corpus.document(idx).tolist() for idx in range(3)] == [
        [ord("a"), ord("b")],
        [ord("न"), ord("म")],
        [ord("x"), ord("y")],
    ]
    assert corpus.n_bytes.tolist() == [2, 6, 3]  # "ab", two letters of three bytes, "x y"
    assert corpus.heldout.tolist() == [True, False, False]
    assert corpus.bos_token_id == 7
    assert tokenize_documents(DOCUMENTS, letters, 3, 7).n_bytes.tolist() == [4, 6, 5]


def test_a_document_without_tokens_is_named():
    with pytest.raises(BabelscopeError, match="document d: the tokenizer makes no token of it"):
        tokenize_documents([Document("d", "  ", PROFILE)], letters, 5, -1)


def test_the_models_own_tokenizer_is_used_without_special_tokens(tmp_path):
    from tokenizers import Tokenizer

    info = describe_model("tiny", save_model(tmp_path), n_layers=3, origin="test")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ids, ends = load_encoder(info)("One line, हिन्दी too.")
    assert ids == tokenizer.encode("One line, हिन्दी too.", add_special_tokens=False).ids
    assert BOS not in ids
    assert ends[-1] == len("One line, हिन्दी too.")
    assert ends == sorted(ends)


def test_a_tokenizer_that_would_cut_is_not_allowed_to(tmp_path):
    import json

    info = describe_model("tiny", save_model(tmp_path), n_layers=3, origin="test")
    file = tmp_path / "tokenizer.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    file.write_text(json.dumps(settings), encoding="utf-8")
    assert len(load_encoder(info)("a long line " * 20)[0]) > 3
