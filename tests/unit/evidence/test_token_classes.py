"""Classes of tokens: who belongs to them, and what is found on each."""

import json

import numpy as np
from tests.support import ROOT
from tests.unit.simulated_counts import PAPER_LANGUAGES

from babelscope.evidence.claims import read_criteria
from babelscope.evidence.corpora import Question
from babelscope.evidence.predictors import genealogical_distance
from babelscope.evidence.token_classes import CLASSES, class_members, judge_classes, script_of
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
