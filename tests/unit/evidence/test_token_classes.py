"""Classes of tokens: who belongs to them, and what is found on each."""

import json

import numpy as np
import pytest
from tests.support import ROOT
from tests.unit.simulated_counts import PAPER_LANGUAGES

from babelscope.evidence.claims import read_criteria
from babelscope.evidence.corpora import Question
from babelscope.evidence.draws import Replicates
from babelscope.evidence.predictors import genealogical_distance
from babelscope.evidence.token_classes import (
    CLASSES,
    class_members,
    draw_tokens,
    few_tokens,
    judge_classes,
    script_of,
    similarity_rows,
)
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.token_types import TokenTypes


def make_types(texts, ids, rng, profile=None, n_tokens=60):
    """One language: each token has the language's profile and something of its own."""
    n = len(texts) + 1
    logs = (0 if profile is None else profile) + rng.normal(0, 0.2, (n, 2, 20))
    p = np.exp(logs).reshape(n, -1)
    tokens = np.full(n, n_tokens)
    n_active = np.stack([rng.multinomial(5 * n_tokens, row / row.sum()) for row in p]).reshape(n, 2, 20)
    counts = ActivationCounts(n_active, tokens, 5)
    whole = ActivationCounts(n_active.sum(axis=0)[None], np.array([tokens.sum()]), 5)
    return TokenTypes(np.array([*ids, -1]), [*texts, ""], counts, whole, np.array([0]))


def test_scripts_are_those_of_the_first_letter():
    assert [script_of(t) for t in (" the", "नम", "。", "12", " (العر")] == [
        "LATIN",
        "DEVANAGARI",
        "",
        "",
        "ARABIC",
    ]


def test_tokens_are_sorted_by_script_start_and_who_else_has_them():
    rng = np.random.default_rng(0)
    english = make_types([" the", "ing", ".", "7", " नम"], [1, 2, 3, 4, 5], rng)
    hindi = make_types([" है", " नम", ".", "\ufffd"], [6, 5, 3, 7], rng)
    found = {
        name: [member.tolist() for member in members]
        for name, members in class_members([english, hindi]).items()
    }
    assert list(found) == list(CLASSES)
    assert found["own script, starts of words"][0] == [True, False, False, False, False, False]
    assert found["own script, starts of words"][1] == [True, True, False, False, False]
    assert found["own script, inside words"][0] == [False, True, False, False, False, False]
    assert found["without letters"] == [
        [False, False, True, True, False, False],
        [False, False, True, False, False],
    ]
    assert found["digits"][0] == [False, False, False, True, False, False]
    assert found["punctuation"][0] == [False, False, True, False, False, False]
    assert found["another script"][0] == [False, False, False, False, True, False]
    assert found["in all languages"][0] == [False, False, True, False, True, False]
    assert found["in one language"][1] == [True, False, False, True, False]
    assert all(found["all tokens"][0])


def test_a_class_that_carries_the_language_agrees_with_all_tokens_and_one_that_does_not_less():
    rng = np.random.default_rng(1)
    place = {"Romance": 0, "Indic": 1}
    genus = rng.normal(0, 0.6, (9, 2, 20))
    types = []
    for number, language in enumerate(PAPER_LANGUAGES):
        profile = genus[place.get(language.genus, number)] + rng.normal(0, 0.2, (2, 20))
        own = make_types([f" w{i}" for i in range(12)], range(100 * number, 100 * number + 12), rng, profile)
        shared = make_types([f"{i}" for i in range(8)], range(9000, 9008), rng)
        counts = ActivationCounts(
            np.concatenate([own.counts.n_active[:-1], shared.counts.n_active]),
            np.concatenate([own.counts.n_tokens[:-1], shared.counts.n_tokens]),
            5,
        )
        ids = np.concatenate([own.token_id[:-1], shared.token_id])
        types.append(TokenTypes(ids, [*own.text[:-1], *shared.text], counts, own.positions, np.array([0])))
    criteria = read_criteria(ROOT / "resources" / "claims.yaml")
    paper = json.loads((ROOT / "resources" / "paper.json").read_text(encoding="utf-8"))
    predictors = {"genealogy": genealogical_distance(PAPER_LANGUAGES)}
    asked = Question(criteria, paper, 0.05, 100, 0)
    verdicts, sizes, similar = judge_classes(types, PAPER_LANGUAGES, predictors, asked)
    value = {row["class"]: row["correlation"] for row in similar if row["measure"] == "euclidean"}
    assert value["own script, starts of words"] > 0.8 > value["without letters"]
    assert "own script, inside words" not in verdicts.claims  # no language has such tokens
    shares = {row["class"]: row["share"] for row in sizes if row["language"] == "hi"}
    assert shares["all tokens"] == 1 and 0 < shares["without letters"] < 1


def test_a_token_is_drawn_for_all_languages_that_have_it_and_the_rest_for_each_alone():
    rng = np.random.default_rng(2)
    english, hindi = make_types([" a", "1"], [10, 11], rng), make_types(["1", " b"], [11, 12], rng)
    every = [np.ones(3, dtype=bool)] * 2
    found = draw_tokens([english, hindi], every, 300, 0).weights
    assert np.array_equal(found[0][:, 1], found[1][:, 0])
    assert abs(np.corrcoef(found[0][:, 2], found[1][:, 2])[0, 1]) < 0.2  # all others
    alone = draw_tokens([english], every[:1], 300, 0).weights[0]
    assert np.array_equal(alone, found[0])
    many = draw_tokens([english, hindi], every, 20_000, 0).weights[0]
    assert many.mean() == pytest.approx(1, abs=0.03) and many.var() == pytest.approx(1.5, rel=0.1)


def test_one_token_that_is_most_of_a_class_makes_intervals_wider():
    rng = np.random.default_rng(3)
    equal = make_types([f" w{i}" for i in range(39)], range(39), rng).counts
    assert few_tokens([equal]) == pytest.approx(2.023 / 1.960, abs=1e-3)
    heavy = select_heavy(equal)
    assert few_tokens([equal, heavy]) > 2 > few_tokens([equal])


def select_heavy(counts):
    factor = np.where(np.arange(len(counts.n_tokens)) == 0, 100, 1)
    return ActivationCounts(counts.n_active * factor[:, None, None], counts.n_tokens * factor, counts.top_k)


def test_the_interval_of_a_similarity_holds_its_value():
    rng = np.random.default_rng(4)
    whole = {m: np.abs(np.subtract.outer(range(9), range(9))).astype(float) for m in ("euclidean", "kl")}
    whole["pearson"] = whole["kl"]
    noise = np.abs(rng.normal(0, 4, (50, 9, 9)))
    drawn = {f"distance/{m}": whole[m] + noise + np.swapaxes(noise, 1, 2) for m in whole}
    replicates = Replicates({name: values[0] for name, values in drawn.items()}, drawn, {})
    narrow = similarity_rows("a class", replicates, whole, 1.0)
    wide = similarity_rows("a class", replicates, whole, 2.0)
    for one, other in zip(narrow, wide, strict=True):
        assert one["low"] <= one["correlation"] <= one["high"]
        assert one["low"] > other["low"] or one["high"] < other["high"]
