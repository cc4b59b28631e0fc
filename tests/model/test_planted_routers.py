"""Planted truth: a router is bent to send one language's tokens to two experts; the study finds it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bent_router import LANGUAGES, PLANTED, bent_model, record_languages

from babelscope.evidence.draws import shuffle_languages
from babelscope.evidence.specificity import index_experts, most_specific


@pytest.fixture(scope="module")
def recordings():
    return record_languages(bent_model(), share=0.67, seed=0)


def test_the_planted_experts_are_the_most_specific_ones_and_the_others_have_none(recordings):
    index = index_experts(recordings, LANGUAGES, threshold=0.05)
    first = index.layer == 0
    for expert in PLANTED:
        at = int(np.flatnonzero(first & (index.expert == expert))[0])
        assert index.top[at] == 2 and index.q_value[at] < 0.001 and index.low[at] > 0.05
    named = most_specific(index, 2, 100)
    assert set(index.expert[[at for at in named if first[at]][:2]]) == set(PLANTED)
    # the others draw from the same words: nothing tells them from each other
    assert len(most_specific(index, 0, 100)) + len(most_specific(index, 1, 100)) == 0


def test_shuffled_labels_find_no_expert_more_often_than_the_stated_rate(recordings):
    """With nothing to find, a false discovery rate of 5 % means: in at most 5 % of the studies anything."""
    n_found = 0
    for seed in range(100):
        index = index_experts(shuffle_languages(recordings, seed), LANGUAGES, threshold=0.05)
        n_found += bool((index.q_value <= 0.05).any())
    assert n_found <= 11  # 5 of 100 are expected; more than 11 have a chance below one in a hundred
