"""Balanced clustering in scikit-learn's manner."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from babelscope import BalancedKMeans
from babelscope.experts.clustering import cluster_neurons
from babelscope.study.errors import BabelscopeError


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(22, 5)).astype(np.float32)


def test_the_estimator_finds_what_the_workflow_finds(rows):
    found, expected = BalancedKMeans(4, seed=3).fit(rows), cluster_neurons(rows, 4, seed=3)
    np.testing.assert_array_equal(found.labels_, expected.labels)
    assert found.inertia_ == expected.sse
    assert sorted(np.bincount(found.labels_)) == [5, 5, 6, 6]
    np.testing.assert_array_equal(BalancedKMeans(4, seed=3).fit_predict(rows), expected.labels)


def test_it_is_cloned_and_changed_like_any_estimator():
    estimator = clone(BalancedKMeans(4, method="random")).set_params(seed=5)
    parameters = estimator.get_params()
    assert (parameters["n_experts"], parameters["method"], parameters["seed"]) == (4, "random", 5)


def test_a_wrong_parameter_is_named_when_it_is_fitted(rows):
    with pytest.raises(BabelscopeError, match="'fast': allowed are"):
        BalancedKMeans(4, method="fast").fit(rows)
