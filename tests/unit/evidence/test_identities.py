"""Nearest languages with their margins; the same experts by another score."""

import numpy as np
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.claim_statistics import Setting
from babelscope.evidence.draws import Replicates, draw
from babelscope.evidence.identities import HALVES, compare_identities
from babelscope.evidence.neighbours import NEIGHBOUR_COLUMNS, tabulate_neighbours
from babelscope.evidence.replicates import MAIN, over_partitions, replicate_claims
from babelscope.evidence.study_replicates import StudyQuestion


def replicates_of(distance, drawn):
    names = [f"distance/{measure}" for measure in ("euclidean", "kl", "pearson")]
    return Replicates(dict.fromkeys(names, distance), dict.fromkeys(names, drawn), {})


def test_nearest_languages_by_hand():
    distance = np.array([[0, 1, 1.5, 4], [1, 0, 2, 4], [1.5, 2, 0, 4], [4, 4, 4, 0.0]])
    noise = np.zeros((4, 4, 4))
    # in one of four replicates the third language is the nearest to the first
    noise[3, 0, 2] = noise[3, 2, 0] = -0.8
    rows = tabulate_neighbours(replicates_of(distance, distance + noise), ["a", "b", "c", "d"])
    first = rows[4]
    assert set(first) == set(NEIGHBOUR_COLUMNS)
    assert (first["measure"], first["language"], first["nearest"], first["next"]) == ("kl", "a", "b", "c")
    assert first["support"] == 0.75
    assert first["low"] < first["margin"] and first["next_distance"] > first["distance"]
    assert len(rows) == 12


def test_two_languages_have_no_next_one():
    assert tabulate_neighbours(replicates_of(np.eye(2), np.ones((3, 2, 2))), ["a", "b"]) == []


def test_partitions_that_disagree_widen_the_margin():
    rng = np.random.default_rng(0)
    truth = draw_truth(rng, GENERA, family=0.8)
    found = []
    for others in ([], [0.3, 0.3]):
        parts = {}
        for number, scatter in enumerate([0.0, *others]):
            moved = truth * np.exp(np.random.default_rng(number).normal(0, scatter, truth.shape))
            moved /= moved.sum(axis=(1, 2), keepdims=True)
            counts = draw_counts(np.random.default_rng(1), moved, n_blocks=8)
            draws = draw(counts, CODES, 50, 0)
            parts[str(number)] = replicate_claims(draws, PAPER_LANGUAGES, {MAIN: Setting()})
        row = tabulate_neighbours(over_partitions(parts), CODES)[0]
        found.append(row["high"] - row["low"])
    assert found[1] > found[0]


def test_the_same_recording_has_the_same_experts_and_another_score_has_fewer():
    rng = np.random.default_rng(2)
    truth = draw_truth(rng, GENERA, own=0.8, n_experts=60)
    main = draw_counts(rng, truth, n_blocks=12, tokens_per_block=2000)
    other = draw_counts(rng, draw_truth(rng, GENERA, own=0.8, n_experts=60), n_blocks=12)
    variants = {"itself": (main, 0.03), "another": (other, 0.03)}
    halves, itself, another = compare_identities(main, variants, PAPER_LANGUAGES, 0.03, 5)
    assert (halves.variant, itself.variant) == (HALVES, "itself")
    assert itself.frequency_rank > 0.9999 and itself.high_both == 1
    assert itself.specific_both == itself.specific == itself.specific_main > 0
    assert itself.most_specific_both == 1
    assert 0.7 < halves.frequency_rank < 1 and another.frequency_rank < 0.5
    assert another.most_specific_both < halves.most_specific_both
    few = draw_counts(rng, truth, n_blocks=3)
    assert [row.variant for row in compare_identities(few, {}, PAPER_LANGUAGES, 0.03, 5)] == []


def test_languages_add_to_families_and_nothing_where_they_are_one():
    rng = np.random.default_rng(3)
    asked = StudyQuestion(PAPER_LANGUAGES, {MAIN: Setting()}, None, 100, 0)
    name = f"{MAIN}/between_within"
    truth = draw_truth(rng, GENERA, own=0.1, family=0.8)
    families, _ = asked.replicate(draw_counts(rng, truth, n_blocks=12), {})
    same = np.repeat(draw_truth(rng, ["a"]), 9, axis=0)
    nothing, _ = asked.replicate(draw_counts(rng, same, n_blocks=12), {})
    assert families.pooled[name].beyond_low > 0.5
    rise = nothing.pooled[f"{MAIN}/gini_rise"]
    assert rise.beyond_low < 0 < rise.beyond_high
    found = nothing.pooled[name]
    difference = nothing.estimate(name).corrected - found.value
    np.testing.assert_allclose(found.beyond, difference, atol=1e-12)
