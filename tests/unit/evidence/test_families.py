"""Predictors of distance, trees of languages, and all tests of a study together."""

import numpy as np
import pytest
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.draws import draw
from babelscope.evidence.families import (
    cluster_languages,
    fertility,
    fertility_distance,
    genealogical_distance,
    predictors_of,
    relate_to_families,
    script_distance,
    vocabulary_distance,
)
from babelscope.evidence.intervals import dendrogram_json, read_dendrogram
from babelscope.evidence.replicates import corrected_distances, replicate_claims, study_settings
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
    script = script_distance(chosen)
    assert script[3, 4] == 0 and script[2, 4] == 1 and script[0, 1] == 0


def test_a_genus_name_in_two_families_is_two_genera():
    one = Language("aa", "A", "First", "Isolate", "Latn")
    two = Language("bb", "B", "Second", "Isolate", "Latn")
    assert genealogical_distance([one, two])[0, 1] == 2


def test_fertility_and_vocabulary_by_hand():
    first = corpus([[1, 1, 2], [3]], [[9, 9, 9, 9]], bytes_per_token=2)
    second = corpus([[1, 4, 4, 4, 3, 3, 3, 3]], [[1]], bytes_per_token=4)
    np.testing.assert_allclose(fertility([first, second]), [0.5, 0.25])
    assert fertility_distance([first, second])[0, 1] == pytest.approx(np.log(2))
    # shares: first 1: 2/4, 2: 1/4, 3: 1/4; second 1: 1/8, 4: 3/8, 3: 4/8; in common 1/8 + 1/4
    np.testing.assert_allclose(vocabulary_distance([first, second]), [[0, 5 / 8], [5 / 8, 0]])


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
    corpora = [corpus([[k, k + 1, k + 2]], [[1]], 2 + k % 3) for k in range(9)]
    predictors = predictors_of(PAPER_LANGUAGES, corpora)
    outcomes = {}
    for family in (0.0, 1.0):
        rng = np.random.default_rng(1)
        counts = draw_counts(rng, draw_truth(rng, GENERA, family=family))
        draws = draw(counts, CODES, 50, 0)
        distances = corrected_distances(replicate_claims(draws, PAPER_LANGUAGES, study_settings(0.05, [])))
        tests = relate_to_families(distances, PAPER_LANGUAGES, predictors, 0)
        outcomes[family] = {(t.measure, t.test, t.predictor, t.controls): t for t in tests}
    assert set(outcomes[0.0]) == set(outcomes[1.0])
    assert len(outcomes[1.0]) == 3 * (3 + 4 + 3 + 3 + 1)
    for measure in ("euclidean", "kl", "pearson"):
        genus = outcomes[1.0][measure, "groups", "genus", ""]
        assert genus.p_value == pytest.approx(1 / 840) and genus.effect > 0.9 and genus.exact
        assert genus.p_adjusted >= genus.p_value
        assert outcomes[0.0][measure, "groups", "genus", ""].p_value > 0.05


def test_two_languages_have_no_tests():
    few = PAPER_LANGUAGES[:2]
    predictors = {"genealogy": genealogical_distance(few), "script": script_distance(few)}
    assert relate_to_families({"euclidean": np.array([[0, 1.0], [1.0, 0]])}, few, predictors, 0) == []
