"""The floor is the distance between two samples of one language."""

import numpy as np
import pytest
from tests.unit.simulated_counts import draw_counts, draw_truth

from babelscope.comparison.measures import as_distances, compare_layers, total_measures
from babelscope.comparison.similarity import stack_frequencies
from babelscope.evidence.noise_floor import (
    NoiseFloor,
    learning_curve,
    measure_noise_floor,
    split_halves,
    tokens_needed,
)
from babelscope.study.errors import BabelscopeError


def test_halves_share_no_block():
    rng = np.random.default_rng(0)
    counts = draw_counts(rng, draw_truth(rng, ["a", "b"]), n_blocks=7)
    frequency, n_tokens = split_halves(counts, ["a", "b"], 20, 0)
    assert frequency.shape == (2, 20, 2, 3, 24)
    for idx, count in enumerate(counts):
        # seven blocks: three in each half, one left out
        left_out = count.n_tokens.sum() - n_tokens[:, :, idx].sum(axis=0)
        assert set(left_out) <= set(count.n_tokens)
        both = (frequency * n_tokens[..., None, None])[:, :, idx].sum(axis=0)
        assert (both <= count.n_active.sum(axis=0) + 1e-9).all()


@pytest.mark.parametrize("scatter", [0.0, 0.4])
def test_full_floor_is_the_distance_of_two_whole_samples(scatter):
    rng = np.random.default_rng(1)
    truth = draw_truth(rng, ["a"])
    floors, seen = [], []
    for seed in range(250):
        counts = draw_counts(rng, np.concatenate([truth, truth]), n_blocks=20, scatter=scatter)
        floor = measure_noise_floor(counts, ["a", "b"], 5, seed)
        floors.append([floor.full[name].mean() for name in ("euclidean", "kl", "pearson")])
        frequency, n_tokens = stack_frequencies(counts)
        distances = as_distances(total_measures(compare_layers(frequency, n_tokens)))
        seen.append([distances[name][0, 1] for name in ("euclidean", "kl", "pearson")])
    np.testing.assert_allclose(np.mean(floors, axis=0), np.mean(seen, axis=0), rtol=0.04)


def test_like_with_like_a_language_under_another_name_is_at_the_floor():
    rng = np.random.default_rng(2)
    truth = draw_truth(rng, ["a", "b"])
    counts = draw_counts(rng, truth[[0, 0, 1]], n_blocks=40)
    halves = measure_noise_floor(counts, "abc", 60, 0).halves["euclidean"]
    same, other = halves[0, 1], halves[0, 2]
    assert same == pytest.approx((halves[0, 0] + halves[1, 1]) / 2, rel=0.1)
    assert other > 1.5 * same


def test_reliability_is_high_where_experts_differ_and_low_where_they_do_not():
    rng = np.random.default_rng(3)
    clear = draw_counts(rng, draw_truth(rng, ["a"]), n_blocks=20)
    flat = draw_counts(rng, np.full((1, 3, 24), 1 / 72), n_blocks=20)
    floor = measure_noise_floor([*clear, *flat], ["clear", "flat"], 50, 0)
    assert floor.reliability_full[0] > 0.95
    assert abs(floor.reliability[1]) < 0.25


def test_noise_falls_with_the_root_of_tokens():
    rng = np.random.default_rng(4)
    counts = draw_counts(rng, draw_truth(rng, ["a", "b"]), n_blocks=64, scatter=0.3)
    curve = learning_curve(counts, ["a", "b"], 60, 0)
    np.testing.assert_array_equal(curve.n_blocks, [1, 2, 4, 8, 16, 32])
    np.testing.assert_allclose(curve.exponent, -0.5, atol=0.05)


def test_tokens_needed_by_hand():
    # 2,000 tokens have a floor of 0.2; a tenth of the distance 1 needs half of that, four times the tokens.
    floor = NoiseFloor({}, {"euclidean": np.array([0.2, 0.2])}, np.ones(2), np.ones(2), np.full(2, 1000.0))
    np.testing.assert_allclose(tokens_needed(floor, np.array([[0, 1.0], [1.0, 0]])), 8000)
    assert np.isinf(tokens_needed(floor, np.zeros((2, 2)))).all()


def test_too_few_blocks_for_halves_of_a_size():
    rng = np.random.default_rng(5)
    counts = draw_counts(rng, draw_truth(rng, ["a"]), n_blocks=5)
    with pytest.raises(BabelscopeError, match="5 blocks of documents, error bars need at least 6"):
        split_halves(counts, ["a"], 3, 0, blocks_per_half=3)
