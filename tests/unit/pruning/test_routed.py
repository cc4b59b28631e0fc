"""Which routed experts stay, and the table of what that costs: values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.figures.style import Look
from babelscope.pruning.figures import plot_matrix
from babelscope.pruning.routed_choice import (
    ROUTED_SELECTORS,
    RoutedStatistics,
    count_kept,
    keep_for,
    remove_specific,
    share_of_choices,
)
from babelscope.pruning.routed_tables import ROUTED_COLUMNS, tabulate_routed


def statistics(frequency, gate=None, saliency=None) -> RoutedStatistics:
    first = np.array([frequency], dtype=np.float64)
    rest = [first if x is None else np.array([x], dtype=np.float64) for x in (gate, saliency)]
    return RoutedStatistics(first, *rest)


def kept(members, selector, n_kept=2, groups=1) -> list[int]:
    keep = keep_for(members, selector, n_kept, groups, np.random.default_rng(0))
    return np.flatnonzero(keep[0]).tolist()


def test_each_selector_keeps_what_it_ranks_first():
    found = statistics([4, 3, 2, 1], [1, 4, 3, 2], [1, 2, 3, 4])
    assert kept([found], "frequency") == [0, 1]
    assert kept([found], "gate") == [1, 2]
    assert kept([found], "reap") == [2, 3]
    assert len(kept([found], "random")) == 2 and set(ROUTED_SELECTORS) == {
        "frequency", "gate", "reap", "random"
    }  # fmt: skip


def test_several_languages_keep_what_they_use_together():
    assert kept([statistics([4, 0, 3, 0]), statistics([0, 5, 3, 0])], "frequency") == [1, 2]


def test_experts_of_a_language_are_those_it_uses_beyond_the_others():
    own, others = statistics([9, 5, 1, 1]), [statistics([9, 0, 1, 1]), statistics([9, 2, 1, 0])]
    assert np.flatnonzero(~remove_specific(own, others, 3, 1)[0]).tolist() == [1]


def test_the_share_of_choices_is_that_of_all_layers():
    gone = np.array([[True, False, False, True]])
    assert share_of_choices(statistics([4, 3, 2, 1]), gone) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("share", "n_experts", "top_k", "groups", "wanted"),
    [(0.6, 8, 2, 1, 5), (0.1, 8, 3, 1, 3), (1.0, 8, 2, 1, 8), (0.6, 8, 3, 2, 4), (0.3, 8, 3, 2, 4)],
)
def test_the_number_kept_is_a_share_a_multiple_of_groups_and_enough_for_the_router(
    share, n_experts, top_k, groups, wanted
):
    assert count_kept(share, n_experts, top_k, groups) == wanted


def test_rises_are_over_the_dense_model_and_over_the_mean_random_draw():
    cells = [
        {"selection": "dense", "experts_of": "", "n_kept": 8, "choices_lost": 0.0, "nll": [10.0, 20.0]},
        {"selection": "kept", "experts_of": "en", "n_kept": 5, "choices_lost": 0.5, "nll": [12.0, 24.0]},
        {"selection": "random", "experts_of": "0", "n_kept": 5, "choices_lost": 0.5, "nll": [14.0, 26.0]},
        {"selection": "random", "experts_of": "1", "n_kept": 5, "choices_lost": 0.5, "nll": [18.0, 30.0]},
    ]
    result = {"language": "en", "n_experts": 8, "n_predicted": [10, 20], "n_bytes": [30, 60], "cells": cells}
    rows = tabulate_routed([result])
    assert all(set(row) == set(ROUTED_COLUMNS) for row in rows)
    assert rows[1]["nll"] == pytest.approx(36 / 30) and rows[1]["rise"] == pytest.approx(6 / 30)
    assert rows[1]["over_random"] == pytest.approx((36 - 44) / 30)
    assert rows[0]["rise"] == 0 and rows[0]["over_random"] is None and rows[2]["over_random"] is None


def test_the_matrix_is_drawn_where_no_removal_costs_anything():
    matrix = np.array([[-0.2, -0.1], [-0.3, -0.2]])
    panels = {"kept": (matrix, ["en", "fr"], ["en", "fr"])}
    panels["removed"] = (np.zeros((2, 1)), ["en", "fr"], ["en"])
    figure = plot_matrix(panels, {}, "tiny", Look("viridis", 100))
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "routed experts kept",
        "specific routed experts removed",
    ]
