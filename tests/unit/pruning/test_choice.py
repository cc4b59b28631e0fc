"""Which experts a pruned model keeps."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.pruning.choice import (
    CHOICES,
    choose_experts,
    draw_generator,
    expert_scores,
    keep_best,
    keep_best_per_layer,
    keep_random,
    keep_union,
    layer_sizes,
)
from babelscope.study.errors import BabelscopeError

FREQUENCY = np.array([[0.4, 0.05, 0.049, 0.3], [0.01, 0.02, 0.2, 0.0]])


def test_the_papers_choice_is_every_expert_from_the_threshold_on():
    keep = choose_experts(FREQUENCY, "threshold", 0.05, 0.5)
    assert keep.tolist() == [[True, True, False, True], [False, False, True, False]]


def test_the_most_frequent_experts_are_taken_over_all_layers_or_in_each():
    everywhere = choose_experts(FREQUENCY, "most_frequent", 0.05, 0.375)
    assert everywhere.tolist() == [[True, False, False, True], [False, False, True, False]]
    per_layer = choose_experts(FREQUENCY, "most_frequent_per_layer", 0.05, 0.5)
    assert per_layer.tolist() == [[True, False, False, True], [False, True, True, False]]


@pytest.mark.parametrize("method", CHOICES)
def test_methods_that_keep_a_share_keep_everything_for_a_share_of_one(method):
    keep = choose_experts(FREQUENCY + 0.05, method, 0.05, 1.0)
    assert keep.all()


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(BabelscopeError, match=r"'best': allowed are threshold, most_frequent"):
        choose_experts(FREQUENCY, "best", 0.05, 0.5)


def test_ties_go_to_the_lower_index():
    assert keep_best(np.array([[1.0, 2.0], [2.0, 1.0]]), 3).tolist() == [[True, True], [True, False]]
    assert keep_best_per_layer(np.zeros((2, 3)), [1, 2]).tolist() == [
        [True, False, False],
        [True, True, False],
    ]


def test_the_union_keeps_what_any_language_keeps():
    one, other = np.array([[True, False, False]]), np.array([[False, False, True]])
    assert keep_union([one, other]).tolist() == [[True, False, True]]
    assert keep_union([one]).tolist() == one.tolist()


def test_the_random_control_keeps_as_many_in_each_layer():
    n_kept = np.array([0, 3, 8])
    first, again, other = (keep_random(n_kept, 8, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.sum(axis=1).tolist() == n_kept.tolist()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_languages_have_random_draws_of_their_own():
    n_kept, more = np.full(20, 30), np.full(20, 40)

    def draw(language, number, sizes=n_kept):
        return keep_random(sizes, 100, draw_generator(0, language, number))

    np.testing.assert_array_equal(draw("en", 0), draw("en", 0))
    # of 40 of 100 experts another draw holds 40 % by chance; with one draw for all the sets would be nested
    for other in (
        draw("fr", 0, more),
        draw("en", 1, more),
        keep_random(more, 100, draw_generator(1, "en", 0)),
    ):
        assert (draw("en", 0) & other).sum() / n_kept.sum() == pytest.approx(0.4, abs=0.08)


def test_layers_keep_in_proportion_to_how_much_they_are_used():
    # levels 0.3 and 0.1: of 8 experts a layer half are kept, three times as many in the first
    frequency = np.stack([np.full(8, 0.3), np.full(8, 0.1)])
    assert layer_sizes(frequency, 0.5).tolist() == [6, 2]
    # no layer keeps more than it has; the rest goes to the other
    assert layer_sizes(np.stack([np.full(8, 0.9), np.full(8, 0.1)]), 0.75).tolist() == [8, 4]


def test_the_score_of_an_expert_is_the_mean_of_its_neurons():
    scores = expert_scores(np.array([[1.0, 2.0, 6.0]]), np.array([[0, 1, 0]]), 2)
    assert scores.tolist() == [[3.5, 2.0]]
