"""Which units are written with their contexts, and the text around their tokens."""

from __future__ import annotations

import json

import numpy as np
import pytest

from babelscope.evidence.specificity import ExpertIndex
from babelscope.explorer.contexts import Texts, find_contexts, read_contexts, write_contexts
from babelscope.explorer.units import Unit, choose_units
from babelscope.recording.peaks import Best, Peaks, Sample, make_key
from babelscope.study.errors import BabelscopeError
from babelscope.text.documents import Document
from babelscope.text.tokens import TokenizedCorpus

LANGUAGES = ("en", "hi", "ar")
RNG = np.random.default_rng(0)
FREQUENCY, PROBABILITY = RNG.uniform(size=(3, 2, 5)), RNG.uniform(size=(3, 2, 40))


def index_of(specific):
    """An index in which these (language, layer, expert) are specific, the first ones most."""
    n = FREQUENCY[0].size
    arrays = {name: np.zeros(n) for name in ("entropy", "difference", "high", "p_value")}
    arrays |= {"gap_q_value": np.ones(n), "group_q_value": np.ones(n)}
    low, q_value, top = np.zeros(n), np.ones(n), np.zeros(n, dtype=int)
    for rank, (code, layer, expert) in enumerate(specific):
        cell = 5 * layer + expert
        low[cell], q_value[cell], top[cell] = 1 - rank / 10, 0.01, LANGUAGES.index(code)
    return ExpertIndex(
        layer=np.arange(n) // 5, expert=np.arange(n) % 5, frequency=FREQUENCY.reshape(3, -1).T, top=top,
        next=(top + 1) % 3, low=low, q_value=q_value, n_languages_high=np.ones(n, dtype=int),
        kind=("specific",) * n, group=("",) * n, group_above=("",) * n, **arrays,
    )  # fmt: skip


SPECIFIC = index_of([("en", 1, 4), ("en", 0, 2), ("ar", 1, 0)])
WANTED = {"experts": 1, "neurons": 2, "shared": 2, "units": ["L0E2", "L1N39", "L1E4"]}


def encode(text):
    """One token per character, two for each 本: both end where the character ends."""
    ids, ends = [], []
    for number, character in enumerate(text):
        for part in range(2 if character == "本" else 1):
            ids.append(ord(character) + part)
            ends.append(number + 1)
    return ids, ends


TEXTS = ["held out", "日本x <b>&amp; \u202eabc\u202c", "second text"]


def corpus_of(texts, cut=200):
    ids = [encode(text)[0][:cut] for text in texts]
    return TokenizedCorpus(
        np.concatenate([np.array(row, dtype=np.int32) for row in ids]),
        np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64),
        np.array([True, False, False]),
        np.full(3, 9, dtype=np.int32),
    )


def texts_of(characters=4, cut=200, texts=TEXTS):
    documents = [Document(f"doc {n}", text, "profile") for n, text in enumerate(texts)]
    return Texts(corpus_of(TEXTS, cut), documents, encode, characters)


def peaks_of():
    """Expert 0 of one layer is largest at token 2 of document 1, then at token 3 of document 2."""
    document, score = (
        np.array([[[1]], [[2]], [[-1]]]),
        np.array([[[3.5]], [[2.0]], [[0.0]]], dtype=np.float32),
    )
    key = np.where(document >= 0, make_key(score, document), 0)
    best = Best(key, np.array([[[2]], [[3]], [[-1]]], dtype=np.int32), score)
    cells = np.array([1.25, -0.5, 0.75], dtype=np.float32).reshape(3, 1, 1)
    sample = Sample(np.array([2, 1, 1]), np.array([0, 0, 4]), np.arange(3), cells, cells > 0, cells)
    return Peaks(best, best, sample, 3)


def test_units_are_the_most_specific_of_each_language_the_most_shared_and_the_listed_once_each():
    units = choose_units(SPECIFIC, FREQUENCY, PROBABILITY, [0, 1], LANGUAGES, **WANTED)
    names = [unit.name for unit in units]
    assert len(names) == len(set(names))
    experts = {unit.name: unit.chosen for unit in units if unit.kind == "expert"}
    least = FREQUENCY.min(axis=0).ravel()
    shared = [f"L{cell // 5}E{cell % 5}" for cell in np.argsort(-least)[:2]]
    assert experts == {
        **dict.fromkeys(["L0E2"], "listed"), **dict.fromkeys(shared, "shared"), "L1E4": "en", "L1E0": "ar"
    }  # fmt: skip
    assert next(unit for unit in units if unit.name == "L1N39").kind == "neuron"


def test_specific_neurons_are_the_ones_planted():
    probability = np.full((3, 2, 40), 0.1) + RNG.uniform(size=(3, 2, 40)) * 0.01
    probability[1, 1, 7], probability[1, 0, 3] = 0.9, 0.8
    wanted = WANTED | {"units": [], "shared": 1}
    units = choose_units(SPECIFIC, FREQUENCY, probability, [0, 1], LANGUAGES, **wanted)
    assert [u.name for u in units if u.kind == "neuron" and u.chosen == "hi"] == ["L1N7", "L0N3"]


def test_a_unit_that_the_model_does_not_have_is_refused():
    message = "'L1N40': the model has 40 neurons in each of the layers 0 to 1"
    with pytest.raises(BabelscopeError, match=message):
        choose_units(SPECIFIC, FREQUENCY, PROBABILITY, [0, 1], LANGUAGES, **WANTED | {"units": ["L1N40"]})


def test_units_of_routers_are_experts_by_the_numbers_of_their_layers():
    index = index_of([("en", 1, 4)])
    index.layer[:] = 3 * index.layer + 1  # layers 1 and 4 have routers
    wanted = WANTED | {"units": ["L4E3"]}
    units = choose_units(index, FREQUENCY, None, [1, 4], LANGUAGES, **wanted)
    assert {unit.kind for unit in units} == {"expert"}
    least = np.argsort(-FREQUENCY.min(axis=0).ravel())[:2]
    names = {"L4E4", "L4E3", *(f"L{(1, 4)[cell // 5]}E{cell % 5}" for cell in least)}
    assert {unit.name for unit in units} == names
    for name in ("L1N0", "L2E0"):  # neurons inside routed experts, an expert of a dense layer
        with pytest.raises(BabelscopeError, match=f"'{name}': the model has"):
            choose_units(index, FREQUENCY, None, [1, 4], LANGUAGES, **WANTED | {"units": [name]})


def test_contexts_are_the_text_around_the_best_tokens_and_random_active_ones():
    rows = list(find_contexts([Unit("expert", 0, 0, "en")], peaks_of(), texts_of(), 2))
    where = [(row["sample"], row["score"], row["document"], row["position"]) for row in rows]
    assert where == [("top", 3.5, "doc 1", 2), ("top", 2.0, "doc 2", 3), ("random", 1.25, "doc 2", 0),
                     ("random", 0.75, "doc 1", 4)]  # fmt: skip
    texts = [(row["left"], row["token"], row["right"]) for row in rows]
    assert texts[0] == ("日", "本", "x <b"), "a token that is a part of a character shows the whole of it"
    assert texts[1:] == [("sec", "o", "nd t"), ("", "s", "econ"), ("日本x", " ", "<b>&")]


def test_text_is_not_cut_between_a_letter_and_its_marks():
    # letters with vowel signs around an x
    rows = ["held out", "\u0939\u093f\u0928\u094d\u0926\u0940 x \u0939\u093f\u0928", "second text"]
    documents = [Document(f"doc {n}", text, "profile") for n, text in enumerate(rows)]
    for characters, left, right in ((3, "\u0926\u0940 ", " \u0939\u093f"), (2, " ", " ")):
        (row,) = Texts(corpus_of(rows), documents, encode, characters).around(1, [7])
        assert (row["left"], row["token"], row["right"]) == (left, "x", right)


def test_random_tokens_of_a_neuron_are_all_kinds_of_tokens():
    rows = list(find_contexts([Unit("neuron", 0, 0, "en")], peaks_of(), texts_of(), 3))
    assert [row["score"] for row in rows if row["sample"] == "random"] == [1.25, -0.5, 0.75]
    assert not any("active" in row for row in rows)


def test_text_beyond_what_the_model_has_seen_is_not_shown():
    rows = list(find_contexts([Unit("expert", 0, 0, "en")], peaks_of(), texts_of(100, cut=5), 2))
    assert rows[0]["right"] == "x "


def test_without_text_there_are_positions_alone(tmp_path):
    rows = list(find_contexts([Unit("expert", 0, 0, "en")], peaks_of(), texts_of(None), 2))
    assert rows[0] == {
        "unit": "L0E0", "chosen": "en", "sample": "top", "score": 3.5, "document": "doc 1", "position": 2
    }  # fmt: skip


def test_a_file_of_contexts_is_read_as_it_was_written_and_refused_when_changed(tmp_path):
    rows = list(find_contexts([Unit("expert", 0, 0, "en")], peaks_of(), texts_of(), 2))
    path = tmp_path / "ar.jsonl"
    write_contexts(path, iter(rows), "tiny", "ar")
    assert read_contexts(path, "tiny", "ar") == rows
    first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert first["model"] == "tiny" and first["language"] == "ar"
    path.write_text(path.read_text(encoding="utf-8").replace("3.5", "4.5"), encoding="utf-8")
    with pytest.raises(BabelscopeError, match="damaged"):
        read_contexts(path, "tiny", "ar")


def test_text_that_is_not_that_of_the_tokens_is_refused():
    other = ["held out", "another text", "second text"]
    with pytest.raises(BabelscopeError, match="doc 1: its text is not that of its tokens"):
        list(find_contexts([Unit("expert", 0, 0, "en")], peaks_of(), texts_of(texts=other), 2))
