"""Predictors of distance, trees of languages, and all tests of a study together."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.draws import draw
from babelscope.evidence.families import claim_questions, relate_to_families, select_claim_tests
from babelscope.evidence.intervals import dendrogram_json, read_dendrogram
from babelscope.evidence.predictors import (
    count_characters,
    differs,
    encoding_distances,
    fertility,
    genealogical_distance,
    log_distance,
    predictors_of,
    sentence_distance,
    vocabulary_distance,
)
from babelscope.evidence.replicates import corrected_distances, replicate_claims, study_settings
from babelscope.evidence.trees import cluster_languages
from babelscope.study.languages import Language
from babelscope.text.tokens import TokenizedCorpus


def corpus(profile, heldout, bytes_per_token):
    documents = [*profile, *heldout]
    lengths = [len(document) for document in documents]
    return TokenizedCorpus(
        token_ids=np.concatenate(documents).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        heldout=np.array([False] * len(profile) + [True] * len(heldout)),
        n_bytes=np.array(lengths, dtype=np.int32) * bytes_per_token,
    )


def test_genealogy_and_script_by_hand():
    french, spanish, hindi, arabic = (PAPER_LANGUAGES[k] for k in (1, 2, 6, 7))
    urdu = PAPER_LANGUAGES[5]
    expected = [[0, 0, 1, 2, 1], [0, 0, 1, 2, 1], [1, 1, 0, 2, 0], [2, 2, 2, 0, 2], [1, 1, 0, 2, 0]]
    chosen = [french, spanish, hindi, arabic, urdu]
    np.testing.assert_array_equal(genealogical_distance(chosen), expected)
    script = differs(chosen, "script")
    assert script[3, 4] == 0 and script[2, 4] == 1 and script[0, 1] == 0


def test_a_genus_name_in_two_families_is_two_genera():
    one = Language("aa", "A", "First", "Isolate", "Latn")
    two = Language("bb", "B", "Second", "Isolate", "Latn")
    assert genealogical_distance([one, two])[0, 1] == 2


def test_fertility_is_per_character_and_does_not_see_the_encoding():
    # ten tokens for twenty characters, of one byte each and of three
    latin = corpus([[1, 1, 2], [3, 3, 3, 3, 3, 3, 3]], [[9, 9]], bytes_per_token=2)
    brahmic = corpus([[1, 1, 2], [3, 3, 3, 3, 3, 3, 3]], [[9, 9]], bytes_per_token=6)
    texts = ["ab" * 3, "ab" * 7, "abab"], ["\u0995\u0996" * 3, "\u0995\u0996" * 7, "\u0995\u0996" * 9]
    n_characters = [count_characters(one, text) for one, text in zip((latin, brahmic), texts, strict=True)]
    # the last document was cut after two tokens: twelve bytes, four characters
    np.testing.assert_array_equal(n_characters, [[6, 14, 4], [6, 14, 4]])
    np.testing.assert_allclose(fertility([latin, brahmic], n_characters), [0.5, 0.5])
    assert log_distance(np.array([0.5, 0.25]))[0, 1] == pytest.approx(np.log(2))


def test_encodings_order_scripts_that_need_as_many_tokens_per_character():
    latin = corpus([[1, 1, 2, 2]], [[9]], bytes_per_token=2)
    brahmic = corpus([[1, 1, 2, 2]], [[9]], bytes_per_token=6)
    found = encoding_distances([latin, brahmic], [np.array([8, 2])] * 2)
    assert found["tokens_per_byte"][0, 1] == pytest.approx(np.log(3))
    assert found["bytes_per_character"][0, 1] == pytest.approx(np.log(3))


def test_parallel_text_tells_tokens_per_sentence_over_what_all_languages_have():
    short, long = corpus([[1, 2], [1], [5] * 9], [[9]], 1), corpus([[1] * 4, [2] * 2], [[9]], 1)
    assert sentence_distance([short, long]) is None
    # the third sentence is in one language alone; the held-out one does not count
    short, long = replace(short, unit=np.array([4, 7, 8, 9])), replace(long, unit=np.array([7, 4, 9]))
    assert sentence_distance([short, long])[0, 1] == pytest.approx(np.log(2))
    apart = replace(long, unit=np.array([1, 2, 9]))
    assert sentence_distance([short, apart]) is None


def test_vocabulary_by_hand():
    # halves of the first language: 1 1 and 2 2; of the second: 1 1 and 3 3
    first = corpus([[1, 1], [2, 2]], [[9]], 1)
    second = corpus([[1, 1], [3, 3]], [[9]], 1)
    # 1 1 against 3 3 and 1 1 against 2 2 are 1 apart, and so are the own halves
    assert vocabulary_distance([first, second])[0, 1] == pytest.approx((1 + 1) / 2 - 1)
    # languages with nothing in common, each like itself
    third, fourth = corpus([[1, 2], [1, 2]], [[9]], 1), corpus([[3, 4], [3, 4]], [[9]], 1)
    np.testing.assert_allclose(vocabulary_distance([third, fourth]), [[0, 1], [1, 0]])


def test_two_samples_of_one_language_share_their_vocabulary_whatever_their_size():
    rng = np.random.default_rng(0)
    words = rng.zipf(1.3, 4000) % 500
    few, many = (corpus(list(rng.choice(words, (n, 20))), [[1]], 1) for n in (40, 400))
    assert abs(vocabulary_distance([few, many])[0, 1]) < 0.05


def test_families_of_scripts_join_what_scripts_divide():
    rows = [
        Language(*"xxxx", script, family, "")
        for script, family in (("Deva", "B"), ("Beng", "B"), ("Arab", ""))
    ]
    np.testing.assert_array_equal(differs(rows, "script_family"), [[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    assert differs(rows, "script")[0, 1] == 1


def test_tree_of_an_ultrametric_is_that_ultrametric():
    distance = np.array([[0, 1, 4, 4], [1, 0, 4, 4], [4, 4, 0, 2], [4, 4, 2, 0]], dtype=float)
    noise = np.random.default_rng(0).normal(0, 1, (50, 4, 4))
    noisy = distance + 0.05 * (noise + noise.transpose(0, 2, 1))
    tree = cluster_languages(distance, noisy)
    assert tree.cophenetic == pytest.approx(1)
    np.testing.assert_allclose(np.sort(tree.linkage[:, 2]), [1, 2, 4])
    np.testing.assert_allclose(tree.support, 1)
    # noise as large as the distances takes the support away
    assert cluster_languages(distance, distance + 2 * (noise + noise.transpose(0, 2, 1))).support[0] < 0.7


def test_a_tree_of_two_languages_survives_being_written():
    tree = cluster_languages(np.array([[0, 1.0], [1.0, 0]]))
    entry = dendrogram_json(tree, ["a", "b"])
    assert entry["cophenetic"] is None and entry["support"] == [None]
    back = read_dendrogram(entry)
    np.testing.assert_array_equal(back.linkage, tree.linkage)
    assert np.isnan(back.cophenetic)


def test_a_study_with_families_finds_them_and_one_without_does_not():
    corpora = [corpus([[k, k + 1, 2 * k]] * 2, [[1]], 2 + k % 3) for k in range(9)]
    n_characters = [one.n_bytes // (1 + k % 2) for k, one in enumerate(corpora)]
    predictors = predictors_of(PAPER_LANGUAGES, corpora, n_characters)
    outcomes = {}
    for family in (0.0, 1.0):
        rng = np.random.default_rng(1)
        counts = draw_counts(rng, draw_truth(rng, GENERA, family=family))
        draws = draw(counts, CODES, 50, 0)
        distances = corrected_distances(replicate_claims(draws, PAPER_LANGUAGES, study_settings(0.05, [])))
        tests = relate_to_families(distances, PAPER_LANGUAGES, predictors, 0)
        outcomes[family] = {(t.measure, t.test, t.predictor, t.controls + t.within): t for t in tests}
    assert set(outcomes[0.0]) == set(outcomes[1.0])
    # five groupings, eight predictors, five partial tests each way, one of encodings, all held constant, and
    # two within a script
    assert len(outcomes[1.0]) == 3 * (5 + 8 + 5 + 5 + 1 + 1 + 2)
    for measure in ("euclidean", "kl", "pearson"):
        genus = outcomes[1.0][measure, "groups", "genus", ""]
        assert genus.p_value == pytest.approx(1 / 840) and genus.effect > 0.9 and genus.exact
        assert genus.p_adjusted >= genus.p_value
        assert outcomes[0.0][measure, "groups", "genus", ""].p_value > 0.05


def test_two_languages_have_no_tests():
    few = PAPER_LANGUAGES[:2]
    predictors = {"genealogy": genealogical_distance(few), "script": differs(few, "script")}
    assert relate_to_families({"euclidean": np.array([[0, 1.0], [1.0, 0]])}, few, predictors, 0) == []


def test_claims_about_kinship_hold_the_most_constant_and_say_how_much_rests_on_one_language():
    languages = PAPER_LANGUAGES
    rng = np.random.default_rng(3)
    genealogy, script = genealogical_distance(languages), differs(languages, "script")
    other = np.abs(np.subtract.outer(*[rng.random(9)] * 2))
    predictors = {"genealogy": genealogy, "script": script, "vocabulary": other}
    # a distance that kinship makes, but for Urdu, which is next to Arabic
    distance = genealogy + 0.1 * other
    distance[5, :] = distance[:, 5] = 3.0
    distance[5, 5] = 0
    tests = relate_to_families({"kl": distance, "pearson": genealogy + other}, languages, predictors, 0)
    chosen = select_claim_tests(tests, "kl")
    assert set(chosen) == set(claim_questions(languages, predictors))
    found = chosen["genealogy"]
    assert found.controls == "script+vocabulary" and found.within == ""
    assert found.effect_low <= found.effect <= found.effect_high
    assert found.p_high >= found.p_value and found.without in CODES
    assert chosen["script_genus"].within == chosen["script_genealogy"].within == "Latn"
    assert (chosen["genus"].p_high, chosen["genus"].without) == (chosen["genus"].p_value, "")
