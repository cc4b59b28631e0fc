"""The parts of the solver against brute force and against each other."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from babelscope.experts.clustering import cluster_neurons, partition_sse
from babelscope.experts.clustering.assignment import assign_balanced
from babelscope.experts.clustering.backend import NumpyBackend, open_backend
from babelscope.experts.clustering.controls import random_labels
from babelscope.experts.clustering.exchange import refine
from babelscope.experts.clustering.exhaustive import search_all_pairs
from babelscope.experts.clustering.partition_state import exchange, labels_of, make_problem, make_state
from babelscope.experts.clustering.rows import prepare_rows


def normal_points(n_neurons: int, n_dims: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return prepare_rows(rng.standard_normal((n_neurons, n_dims)).astype(np.float32), False).points


@contextmanager
def problem_of(points, n_experts, monkeypatch=None, device="cpu"):
    with open_backend(device, 1) as backend:
        if monkeypatch is not None:
            monkeypatch.setattr(type(backend), "gram_bytes", 0)
        yield make_problem(points, n_experts, backend)


def cost_of(cost: np.ndarray, labels: np.ndarray) -> float:
    return float(cost[np.arange(len(cost)), labels].sum())


@pytest.mark.parametrize(("n_neurons", "n_experts"), [(6, 2), (6, 3), (7, 3), (5, 4), (4, 4), (7, 2)])
def test_assignment_is_the_best_of_all(n_neurons, n_experts):
    rng = np.random.default_rng(0)
    allowed = [
        np.array(labels)
        for labels in itertools.product(range(n_experts), repeat=n_neurons)
        if np.ptp(np.bincount(labels, minlength=n_experts)) <= 1
    ]
    for _ in range(5):
        cost = rng.standard_normal((n_neurons, n_experts))
        labels, _ = assign_balanced(cost)
        assert np.ptp(np.bincount(labels, minlength=n_experts)) <= 1
        assert cost_of(cost, labels) == pytest.approx(min(cost_of(cost, every) for every in allowed))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("skew", [0.0, 3.0])
def test_assignment_agrees_with_the_hungarian_method(scale, skew):
    rng = np.random.default_rng(1)
    cost = scale * (rng.standard_normal((120, 12)) + skew * rng.standard_normal(12))
    labels, prices = assign_balanced(cost)
    repeated = np.repeat(cost, 10, axis=1)
    optimum = repeated[linear_sum_assignment(repeated)].sum()
    assert cost_of(cost, labels) == pytest.approx(optimum)
    again, _ = assign_balanced(cost, prices + scale * rng.standard_normal(12))
    assert cost_of(cost, again) == pytest.approx(optimum)


def test_assignment_where_all_costs_are_equal():
    labels, _ = assign_balanced(np.ones((10, 4)))
    assert sorted(np.bincount(labels, minlength=4)) == [2, 2, 3, 3]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("n_neurons", [96, 91])
def test_descent_never_raises_the_sse_and_ends_where_no_pair_improves(monkeypatch, stored, n_neurons):
    points = normal_points(n_neurons, 7)
    rng = np.random.default_rng(0)
    labels = random_labels(n_neurons, 8, rng).astype(np.int64)
    with problem_of(points, 8, None if stored else monkeypatch) as problem:
        assert problem.gram.is_stored == stored
        refined = refine(problem, labels, rng, n_rounds=0)
        assert partition_sse(points[:-1], refined.labels) < partition_sse(points[:-1], labels)
        again = search_all_pairs(problem, make_state(problem, refined.labels))
    assert refined.n_swaps > 0
    assert again.sum() == 0


@pytest.mark.parametrize("stored", [True, False])
def test_products_are_kept_right_by_swaps_and_moves(monkeypatch, stored):
    points = normal_points(11, 5)
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
    with problem_of(points, 3, None if stored else monkeypatch) as problem:
        state = make_state(problem, labels)
        # place 0 (neuron 0) with the empty place of expert 2, then place 2 (neuron 2) with place 5 (neuron 5)
        np.testing.assert_array_equal(exchange(problem, state, np.array([0]), np.array([11])), [0, 1])
        np.testing.assert_array_equal(exchange(problem, state, np.array([2]), np.array([5])), [1, 0])
        after = labels_of(problem, state)
        np.testing.assert_array_equal(after, [2, 0, 1, 0, 1, 0, 1, 1, 2, 2, 2])
        np.testing.assert_array_equal(state.sizes, [3, 4, 4])
        sums = np.stack([points[:-1][after == expert].sum(axis=0) for expert in range(3)])
        expected = sums @ points[state.members].T + (points[state.members] ** 2).sum(axis=1) / 2
        np.testing.assert_allclose(state.products, expected, rtol=1e-4, atol=1e-5)


def test_tiles_give_the_plain_product(monkeypatch):
    monkeypatch.setattr("babelscope.experts.clustering.backend._TILE", 16)
    points = normal_points(50, 9)
    with open_backend("cpu", 3) as backend:
        assert isinstance(backend, NumpyBackend)
        np.testing.assert_allclose(backend.matmul_nt(points, points[:21]), points @ points[:21].T, atol=1e-5)
        gram = backend.gram(points)
    np.testing.assert_allclose(gram, points @ points.T, atol=1e-5)
    np.testing.assert_array_equal(gram, gram.T)


@pytest.mark.parametrize("n_neurons", [96, 93])
@pytest.mark.parametrize("stored", [True, False])
def test_torch_takes_the_same_steps_as_numpy(monkeypatch, n_neurons, stored):
    pytest.importorskip("torch")
    # Small integers: every product and sum is exact in float32, so that no step can depend on rounding.
    rng = np.random.default_rng(2)
    points = np.zeros((n_neurons + 1, 6), dtype=np.float32)
    points[:-1] = rng.integers(-8, 9, size=(n_neurons, 6))
    labels = random_labels(n_neurons, 8, rng).astype(np.int64)
    found = []
    for device in ("cpu", "cpu-torch"):
        with problem_of(points, 8, None if stored else monkeypatch, device) as problem:
            found.append(refine(problem, labels, np.random.default_rng(0), n_rounds=0))
    np.testing.assert_array_equal(found[0].labels, found[1].labels)
    assert found[0].n_swaps == found[1].n_swaps > 0


@pytest.mark.parametrize("n_neurons", [256, 250])
def test_torch_finds_partitions_as_good_as_numpy(n_neurons):
    pytest.importorskip("torch")
    rows = np.random.default_rng(0).standard_normal((n_neurons, 24)).astype(np.float32)
    sse = {device: cluster_neurons(rows, 16, device=device).sse for device in ("cpu", "cpu-torch")}
    assert sse["cpu-torch"] == pytest.approx(sse["cpu"], rel=5e-3)


def test_a_device_sums_the_same_squared_errors():
    points, labels = normal_points(50, 6)[:-1], np.arange(50) % 7
    with open_backend("cpu-torch", 1) as backend:
        assert backend.sse(backend.asarray(points), labels) == pytest.approx(partition_sse(points, labels))
