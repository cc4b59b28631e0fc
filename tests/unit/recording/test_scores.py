"""Scores, z-scores, ties and counts of DESIGN.md, by hand and by naive loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from babelscope.recording.scores import (
    ExpertLayout,
    count_active,
    expert_grams,
    norm_experts,
    score_experts,
    select_active,
    standardise,
)


def scores_of(activations, labels, n_experts):
    layout = ExpertLayout.from_labels(np.asarray(labels), n_experts)
    return score_experts(torch.as_tensor(activations)[:, layout.order], layout)


def test_a_score_is_the_signed_sum_over_the_experts_neurons():
    activations = [[1.0, -2.0, 3.0, 0.5], [0.0, 0.0, -1.0, 4.0]]
    assert scores_of(activations, [0, 1, 0, 1], 2).tolist() == [[4.0, -1.5], [-1.0, 4.0]]


@pytest.mark.parametrize(("d_ff", "n_experts"), [(12, 4), (13, 4), (15, 4), (7, 7), (9, 8), (20, 1)])
def test_scores_equal_a_naive_loop_also_where_sizes_differ(d_ff, n_experts):
    rng = np.random.default_rng(d_ff)
    labels = rng.permutation(np.arange(d_ff) % n_experts)
    activations = rng.standard_normal((6, d_ff)).astype(np.float32)
    expected = np.zeros((6, n_experts))
    for token in range(6):
        for neuron in range(d_ff):
            expected[token, labels[neuron]] += float(activations[token, neuron])
    np.testing.assert_allclose(scores_of(activations, labels, n_experts), expected, atol=1e-5)


def test_the_layout_is_a_permutation_of_the_neurons():
    labels = np.random.default_rng(0).permutation(np.arange(29) % 5)
    layout = ExpertLayout.from_labels(labels, 5)
    assert sorted(layout.order.tolist()) == list(range(29))
    assert layout.n_members == 5
    assert ExpertLayout.from_labels(labels[labels < 4][:20], 4).n_experts == 4


def test_sums_of_half_precision_are_kept_in_float32():
    activations = torch.full((1, 512), 1.0, dtype=torch.bfloat16)
    activations[0, 0] = 1024.0  # in bfloat16 1024 + 1 is 1024
    assert scores_of(activations, [0] * 512, 1).tolist() == [[1024.0 + 511.0]]


def test_z_scores_use_the_population_standard_deviation():
    z = standardise(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    np.testing.assert_allclose(z[0], (np.array([1, 2, 3, 4]) - 2.5) / np.sqrt(1.25), rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 0.1, 1e-20, 1e4])
def test_the_z_scores_of_a_constant_row_are_zero(value):
    z = standardise(torch.full((2, 3, 64), value))
    assert (z == 0).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
def test_z_scores_do_not_depend_on_the_scale_or_the_offset_of_a_row(scale):
    scores = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    expected = standardise(scores)
    np.testing.assert_allclose(standardise(scores * scale), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(expected.mean(dim=1), 0, atol=1e-6)
    np.testing.assert_allclose(expected.square().mean(dim=1), 1, rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_score_makes_its_whole_row_nan_and_no_other(bad):
    scores = torch.randn(3, 8)
    scores[1, 5] = bad
    z = standardise(scores)
    assert z[1].isnan().all()
    assert not z[[0, 2]].isnan().any()


def test_the_top_k_largest_are_active():
    active = select_active(torch.tensor([[0.1, 0.9, -1.0, 0.5], [4.0, 3.0, 2.0, 1.0]]), 2)
    assert active.tolist() == [[False, True, False, True], [True, True, False, False]]


def test_ties_go_to_the_lower_index():
    z = torch.tensor([[1.0, 2.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 3.0, 3.0]])
    active = select_active(z, 3)
    assert active.tolist() == [
        [True, True, True, False, False],
        [True, True, True, False, False],
        [True, False, False, True, True],
    ]


def test_positive_and_negative_zero_are_one_value():
    assert select_active(torch.tensor([[-0.0, 0.0, -0.0]]), 2).tolist() == [[True, True, False]]


@pytest.mark.parametrize("top_k", [1, 7, 31, 32])
def test_selection_equals_a_stable_sort_with_many_ties(top_k):
    z = torch.randint(-3, 4, (40, 32), generator=torch.Generator().manual_seed(top_k)).float()
    active = select_active(z, top_k)
    for row, chosen in zip(z.tolist(), active.tolist(), strict=True):
        order = sorted(range(32), key=lambda cell: (-row[cell], cell))
        assert [cell for cell in range(32) if chosen[cell]] == sorted(order[:top_k])


def test_active_tokens_are_counted_block_by_block_without_padding():
    z = torch.tensor([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    membership = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])  # the fourth token is padding
    assert count_active(z, 1, membership).tolist() == [[1, 1], [0, 1]]
    assert count_active(z, 1, membership).dtype == torch.int64


@pytest.mark.parametrize("n_experts", [4, 5])  # 12 neurons: three each, and ragged
def test_the_norm_of_an_experts_output_is_that_of_its_neurons_together(n_experts):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(12) % n_experts)
    h, down = rng.normal(size=(7, 12)), rng.normal(size=(6, 12))
    layout = ExpertLayout.from_labels(labels, n_experts)
    ordered = torch.from_numpy(h).float()[:, layout.order]
    found = norm_experts(ordered, layout, expert_grams(torch.from_numpy(down)[:, layout.order], layout))
    outputs = [h[:, labels == e] @ down[:, labels == e].T for e in range(n_experts)]
    np.testing.assert_allclose(found, np.linalg.norm(outputs, axis=2).T, rtol=1e-4)
