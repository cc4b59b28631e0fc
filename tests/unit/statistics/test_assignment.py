"""Pairs of points: the sum is that of scipy's solver on the matrix of all pairs, wherever the points lie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from babelscope.statistics import assignment
from babelscope.statistics.assignment import assign_nearest
from babelscope.study.errors import BabelscopeError


def least_sum(points, others):
    costs = cdist(points, others, "sqeuclidean")
    return costs[linear_sum_assignment(costs)].sum()


def check(points, others):
    found = assign_nearest(points, others)
    assert len(np.unique(found)) == len(points)
    total = ((points - others[found]) ** 2).sum()
    assert total == pytest.approx(least_sum(points, others), rel=1e-9, abs=1e-9)
    assert np.array_equal(found, assign_nearest(points, others))


@pytest.mark.parametrize("spread", [1.0, 0.3, 0.01])
@pytest.mark.parametrize("n_others", [120, 135, 900])
@pytest.mark.parametrize("n_dimensions", [1, 2, 3])
def test_no_other_way_has_a_smaller_sum(monkeypatch, spread, n_others, n_dimensions):
    # several levels of a third each, and pairs so few that more have to be found
    monkeypatch.setattr(assignment, "_FEW", 10)
    monkeypatch.setattr(assignment, "_FIRST", 6)
    monkeypatch.setattr(assignment, "_MORE", 2)
    rng = np.random.default_rng(n_others)
    points = rng.normal(1.5, spread, (120, n_dimensions))
    check(points, rng.normal(size=(n_others, n_dimensions)))


def test_the_same_holds_for_many_points_in_the_tail_of_the_others():
    rng = np.random.default_rng(0)
    check(rng.normal([1.5, 3.0], [0.3, 0.6], (500, 2)), rng.normal(size=(3000, 2)))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_length_does_not_matter(monkeypatch, scale):
    monkeypatch.setattr(assignment, "_FEW", 10)
    rng = np.random.default_rng(1)
    points, others = rng.normal(1, 0.2, (80, 2)), rng.normal(size=(400, 2))
    found = assign_nearest(points * scale, others * scale)
    assert np.sum((points - others[found]) ** 2) == pytest.approx(least_sum(points, others), rel=1e-6)


def test_points_that_are_all_alike_and_pairs_that_cost_nothing(monkeypatch):
    monkeypatch.setattr(assignment, "_FEW", 10)
    rng = np.random.default_rng(2)
    check(np.zeros((150, 2)), rng.normal(size=(400, 2)))
    check(np.zeros((150, 2)), np.zeros((200, 2)))
    points = rng.normal(size=(150, 2))
    check(points, np.concatenate([rng.normal(size=(100, 2)), points[::-1]]))


def test_no_points_and_too_few_others():
    assert assign_nearest(np.zeros((0, 2)), np.zeros((3, 2))).shape == (0,)
    with pytest.raises(BabelscopeError, match="3 points and 2 others"):
        assign_nearest(np.zeros((3, 2)), np.ones((2, 2)))
