"""What a user of ``babelscope.experts.clustering`` relies on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import babelscope
from babelscope.experts.clustering import CUTS, cluster_neurons, partition_sse, prepared_rows, reference_sse
from babelscope.experts.clustering import rows as rows_module
from babelscope.experts.clustering.backend import NumpyBackend, open_backend
from babelscope.study.errors import BabelscopeError

SOLVERS = ("balanced_kmeans", "malinen_franti")


def normal_rows(n_neurons: int, n_dims: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_neurons, n_dims)).astype(np.float32)


def sizes(labels: np.ndarray, n_experts: int) -> np.ndarray:
    return np.bincount(labels, minlength=n_experts)


def largest_improvement(rows: np.ndarray, labels: np.ndarray) -> float:
    """By how much the best swap of two neurons, or move to a smaller expert, lowers the SSE: tries all."""
    n_experts = labels.max() + 1
    before, best = partition_sse(rows, labels), -np.inf
    for i in range(len(rows)):
        for j in range(i):
            if labels[i] != labels[j]:
                changed = labels.copy()
                changed[[i, j]] = labels[[j, i]]
                best = max(best, before - partition_sse(rows, changed))
        for expert in range(n_experts):
            if sizes(labels, n_experts)[expert] < sizes(labels, n_experts)[labels[i]]:
                changed = labels.copy()
                changed[i] = expert
                best = max(best, before - partition_sse(rows, changed))
    return best


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(((left[:, None] == left) == (right[:, None] == right)).all())


def test_sse_by_hand():
    rows = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 1.0], [5.0, 4.0]])
    # means (1, 0) and (5, 2.5): 1 + 1 and 2.25 + 2.25
    assert partition_sse(rows, np.array([3, 3, 0, 0])) == pytest.approx(6.5)


@pytest.mark.parametrize("method", CUTS)
@pytest.mark.parametrize(("n_neurons", "n_experts"), [(24, 8), (25, 8), (31, 8), (8, 8), (9, 8), (5, 1)])
def test_sizes_differ_by_at_most_one(method, n_neurons, n_experts):
    result = cluster_neurons(normal_rows(n_neurons, 5), n_experts, method)
    assert result.labels.dtype == np.int32
    assert result.labels.shape == (n_neurons,)
    counts = sizes(result.labels, n_experts)
    assert len(counts) == n_experts
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("method", CUTS)
@pytest.mark.parametrize("normalize_rows", [False, True])
def test_reported_sse_is_that_of_the_labels(method, normalize_rows):
    rows = 37 * normal_rows(50, 6) + 100
    result = cluster_neurons(rows, 7, method, normalize_rows=normalize_rows)
    clustered = rows / np.linalg.norm(rows, axis=1, keepdims=True) if normalize_rows else rows
    assert result.sse == pytest.approx(partition_sse(clustered, result.labels), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_neurons", "n_experts"), [(24, 6), (26, 6), (23, 6), (13, 9)])
def test_no_swap_and_no_move_improves(n_neurons, n_experts, seed):
    rows = normal_rows(n_neurons, 4, seed)
    result = cluster_neurons(rows, n_experts, seed=seed)
    mean_square = ((rows - rows.mean(axis=0)) ** 2).sum() / n_neurons
    assert largest_improvement(rows, result.labels) <= 5e-6 * mean_square


def test_finds_the_best_of_all_partitions_of_eight_into_two():
    rows = normal_rows(8, 2, seed=5)
    every = [[(code >> bit) & 1 for bit in range(8)] for code in range(256)]
    best = min(partition_sse(rows, np.array(bits)) for bits in every if sum(bits) == 4)
    assert cluster_neurons(rows, 2, n_starts=5).sse == pytest.approx(best, rel=1e-5)


def test_finds_groups_that_lie_far_apart():
    rng = np.random.default_rng(1)
    truth = rng.permutation(np.arange(60) % 6)
    rows = (10 * rng.standard_normal((6, 8)))[truth] + 0.1 * rng.standard_normal((60, 8))
    assert same_partition(cluster_neurons(rows, 6).labels, truth)


def test_refinement_lowers_the_sse_of_lloyd_steps_on_isotropic_rows():
    rows = normal_rows(256, 48)
    lloyd = cluster_neurons(rows, 32, "malinen_franti")
    refined = cluster_neurons(rows, 32)
    random = cluster_neurons(rows, 32, "random")
    assert refined.n_swaps > 0 and lloyd.n_swaps == 0
    assert random.sse - refined.sse > 1.3 * (random.sse - lloyd.sse)


@pytest.mark.parametrize("n_dims", [1, 2, 5, 20])
@pytest.mark.parametrize("n_neurons", [60, 64])
def test_refinement_is_never_worse_than_the_lloyd_steps_it_starts_from(n_dims, n_neurons):
    rows = normal_rows(n_neurons, n_dims)
    lloyd = cluster_neurons(rows, 8, "malinen_franti").sse
    assert cluster_neurons(rows, 8).sse <= lloyd * (1 + 1e-6)


def test_more_starts_are_never_worse_and_include_the_first():
    rows = normal_rows(90, 6)
    one, three = (cluster_neurons(rows, 9, n_starts=n_starts).sse for n_starts in (1, 3))
    assert three <= one


@pytest.mark.parametrize("method", ["balanced_kmeans", "malinen_franti", "random"])
@pytest.mark.parametrize("n_neurons", [64, 67])
def test_permuting_rows_permutes_labels(method, n_neurons):
    rows = normal_rows(n_neurons, 6)
    permutation = np.random.default_rng(1).permutation(n_neurons)
    plain = cluster_neurons(rows, 8, method, seed=3)
    permuted = cluster_neurons(rows[permutation], 8, method, seed=3)
    np.testing.assert_array_equal(permuted.labels, plain.labels[permutation])


def test_rows_with_equal_first_columns_are_ordered_by_the_rest():
    rows = normal_rows(40, 8)
    rows[:, :5] = 0
    rows[::3, 0] = -0.0
    permutation = np.random.default_rng(1).permutation(40)
    np.testing.assert_array_equal(
        cluster_neurons(rows[permutation], 5).labels, cluster_neurons(rows, 5).labels[permutation]
    )
    order = rows_module.canonical_order(rows)
    assert sorted(order) == list(range(40))


def test_contiguous_cuts_the_stored_order_into_runs():
    labels = cluster_neurons(normal_rows(11, 3), 3, "contiguous").labels
    np.testing.assert_array_equal(labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])


@pytest.mark.parametrize("method", CUTS)
def test_same_seed_same_labels_whatever_the_threads(monkeypatch, method):
    # small pieces, so that the threads have something to share
    monkeypatch.setattr("babelscope.experts.clustering.backend._TILE", 64)
    monkeypatch.setattr(NumpyBackend, "block_elements", 1 << 10)
    monkeypatch.setattr(NumpyBackend, "search_elements", 1 << 12)
    rows = normal_rows(300, 40)
    one, four, again = (cluster_neurons(rows, 25, method, seed=4, n_threads=n) for n in (1, 4, 4))
    np.testing.assert_array_equal(one.labels, four.labels)
    np.testing.assert_array_equal(four.labels, again.labels)
    assert one.sse == four.sse


@pytest.mark.parametrize("method", ["balanced_kmeans", "malinen_franti", "random"])
def test_another_seed_gives_another_partition(method):
    rows = normal_rows(200, 30)
    labels = [cluster_neurons(rows, 20, method, seed=seed).labels for seed in (0, 1)]
    assert not same_partition(*labels)


def test_a_shift_of_all_rows_changes_nothing_but_digits():
    rows = np.round(normal_rows(64, 5) * 64)
    plain, shifted = cluster_neurons(rows, 8), cluster_neurons(rows + 1024, 8)
    assert shifted.sse == pytest.approx(plain.sse, rel=1e-5)


@pytest.mark.parametrize("factor", [1e-30, 1e18])
def test_tiny_and_huge_rows(factor):
    rows = normal_rows(48, 5)
    plain, scaled = cluster_neurons(rows, 6), cluster_neurons(rows * np.float32(factor), 6)
    assert scaled.sse / factor**2 == pytest.approx(plain.sse, rel=0.02)


@pytest.mark.parametrize("method", CUTS)
def test_zero_and_duplicate_rows(method):
    rows = np.zeros((12, 4), dtype=np.float32)
    assert cluster_neurons(rows, 5, method, normalize_rows=True).sse == 0
    rows = np.repeat(normal_rows(5, 4), 4, axis=0)
    result = cluster_neurons(rows, 5, method)
    np.testing.assert_array_equal(sizes(result.labels, 5), [4] * 5)
    if method == "balanced_kmeans":
        assert result.sse == pytest.approx(0, abs=1e-6)


def test_normalised_rows_are_compared_by_direction():
    directions = np.array([[1, 0], [0, 1]], dtype=np.float32)
    rows = np.concatenate([directions * length for length in (1, 2, 50, 100)])
    labels = cluster_neurons(rows, 2, normalize_rows=True).labels
    assert same_partition(labels, np.arange(8) % 2)


@pytest.mark.parametrize("method", CUTS)
def test_references_enclose_every_partition(method):
    rows = normal_rows(120, 4)
    result = cluster_neurons(rows, 12, method)
    reference = reference_sse(rows, result.labels, 12, seed=0)
    assert reference.unconstrained < result.sse <= reference.random * 1.2
    assert reference_sse(rows, result.labels, 12, seed=0) == reference
    assert reference.random == pytest.approx(cluster_neurons(rows, 12, "random").sse, rel=0.2)


def test_free_sizes_find_groups_of_unequal_size():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [20, 4])
    rows = 20 * np.eye(2, 6)[truth] + 0.01 * rng.standard_normal((24, 6))
    result = cluster_neurons(rows, 2)
    reference = reference_sse(rows, result.labels, 2, seed=0)
    assert result.sse > 1000
    assert reference.unconstrained == pytest.approx(partition_sse(rows, truth), rel=1e-3)


def test_references_of_what_cannot_be_improved():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 3))
    rows = normal_rows(20, 4)[labels]
    assert reference_sse(rows, labels, 20, seed=0).unconstrained == pytest.approx(0, abs=1e-6)
    alone = reference_sse(normal_rows(6, 3), np.arange(6), 6, seed=0)
    assert alone.unconstrained == alone.random == 0
    one = reference_sse(normal_rows(6, 3), np.zeros(6, dtype=int), 1, seed=0)
    assert one.unconstrained == pytest.approx(one.random)


def test_references_need_labels_that_fit():
    with pytest.raises(BabelscopeError, match="need 6 integers"):
        reference_sse(normal_rows(6, 3), np.zeros(5, dtype=int), 2, seed=0)
    with pytest.raises(BabelscopeError, match="label 2: need 0 to 1"):
        reference_sse(normal_rows(6, 3), np.array([0, 0, 0, 1, 1, 2]), 2, seed=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", CUTS)
def test_rows_that_are_not_finite_are_named(method, value):
    rows = normal_rows(20, 4)
    rows[13, 2] = value
    with pytest.raises(BabelscopeError, match=r"row 13, column 2 is (nan|-?inf)"):
        cluster_neurons(rows, 4, method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_experts": 21}, "n_experts 21: need 1 to 20"),
        ({"n_experts": 0}, "n_experts 0"),
        ({"n_experts": 2.5}, "n_experts 2.5: need an integer"),
        ({"method": "kmeans"}, "'kmeans': allowed are balanced_kmeans, malinen_franti, random, contiguous"),
        ({"n_starts": 0}, "n_starts 0"),
        ({"seed": -1}, "seed -1"),
        ({"n_threads": 0}, "n_threads 0"),
        ({"device": "tpu"}, "device 'tpu'"),
    ],
)
def test_misuse_is_explained(options, message):
    with pytest.raises(BabelscopeError, match=message):
        cluster_neurons(normal_rows(20, 4), **({"n_experts": 4} | options))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((5, 0)), r"shape \(5, 0\)"),
        (np.zeros((5, 2), dtype=complex), "type complex128"),
        (np.array([["a", "b"]]), "need real numbers"),
    ],
)
def test_rows_of_another_form_are_refused(rows, message):
    with pytest.raises(BabelscopeError, match=message):
        cluster_neurons(rows, 1)


def test_labels_that_do_not_fit_have_no_sse():
    with pytest.raises(BabelscopeError, match="need 3 integers"):
        partition_sse(np.zeros((3, 2)), np.array([0, 1]))


def test_auto_takes_the_gpu_where_there_is_one():
    torch = pytest.importorskip("torch")
    with open_backend("auto", 1) as backend:
        assert isinstance(backend, NumpyBackend) != torch.cuda.is_available()


def test_the_cpu_needs_no_torch():
    code = (
        "import sys, numpy as np; from babelscope.experts.clustering import cluster_neurons; "
        "cluster_neurons(np.eye(6), 3); assert 'torch' not in sys.modules"
    )
    search = str(Path(babelscope.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": search})


@pytest.mark.parametrize("n_experts", [0, -1, 61, 2.5, True])
def test_prepared_rows_are_cut_into_as_many_experts_as_rows(n_experts):
    prepared = prepared_rows(normal_rows(60, 7), 6)
    for call in (
        cluster_neurons,
        lambda *asked: reference_sse(asked[0], np.zeros(60, dtype=int), asked[1], 0),
    ):
        with pytest.raises(BabelscopeError, match=f"n_experts {n_experts}: need"):
            call(prepared, n_experts)


def test_prepared_rows_are_normalised_as_asked():
    with pytest.raises(BabelscopeError, match="normalize_rows True: the rows were prepared with False"):
        cluster_neurons(prepared_rows(normal_rows(60, 7), 6), 6, normalize_rows=True)


def test_prepared_rows_give_what_rows_give():
    rows = normal_rows(60, 7)
    prepared = prepared_rows(rows, 6, normalize_rows=True)
    found, expected = (cluster_neurons(r, 6, normalize_rows=True) for r in (prepared, rows))
    assert np.array_equal(found.labels, expected.labels) and found.sse == expected.sse
    references = [reference_sse(r, found.labels, 6, 0, normalize_rows=True) for r in (prepared, rows)]
    assert references[0] == references[1]
