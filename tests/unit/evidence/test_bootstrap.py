"""Batched measures, bootstrap over blocks, and intervals that cover the truth."""

import numpy as np
import pytest
from scipy import stats
from tests.unit.simulated_counts import draw_counts, draw_truth

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.comparison.similarity import compare_languages
from babelscope.evidence.draws import bootstrap, draw, frequency_intervals, resample
from babelscope.evidence.specificity import frequency_variance
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import estimate
from babelscope.study.errors import BabelscopeError


def distances(frequency, n_tokens):
    return as_distances(total_measures(compare_layers(frequency, n_tokens)))


def test_batched_measures_are_those_of_the_study():
    rng = np.random.default_rng(0)
    frequency, n_tokens = rng.random((3, 5, 4, 16)), rng.integers(100, 900, (3, 5))
    frequency[1, 2, 3] = 0.25  # a constant row has no correlation
    batched = total_measures(compare_layers(frequency, n_tokens))
    for replicate in range(3):
        study = compare_languages(frequency[replicate], n_tokens[replicate])
        for measure in MEASURES:
            np.testing.assert_allclose(batched[measure][replicate], study[measure], atol=1e-12)


def test_two_stacks_compare_as_one():
    rng = np.random.default_rng(1)
    frequency, n_tokens = rng.random((5, 2, 8)), np.arange(100, 600, 100)
    whole = total_measures(compare_layers(frequency, n_tokens))
    parts = total_measures(compare_layers(frequency[:2], n_tokens[:2], frequency[2:], n_tokens[2:]))
    for measure in MEASURES:
        np.testing.assert_allclose(parts[measure], whole[measure][:2, 2:], atol=1e-12)


def test_replicates_scatter_as_the_frequencies_do():
    rng = np.random.default_rng(2)
    counts = draw_counts(rng, draw_truth(rng, ["a"]), n_blocks=6, scatter=0.3)
    drawn = np.concatenate([frequency for frequency, _ in resample(draw(counts, ["a"], 6000, 0))])[:, 0]
    np.testing.assert_allclose(drawn.mean(axis=0), counts[0].frequency, atol=0.02)
    ratio = drawn.var(axis=0).sum() / frequency_variance(counts[0]).sum()
    assert ratio == pytest.approx(1, abs=0.1)


def test_replicates_of_a_language_do_not_depend_on_the_others():
    rng = np.random.default_rng(3)
    counts = draw_counts(rng, draw_truth(rng, ["a", "b"]))
    both, _ = next(resample(draw(counts, ["a", "b"], 5, 0)))
    alone, _ = next(resample(draw(counts[1:], ["b"], 5, 0)))
    np.testing.assert_array_equal(both[:, 1], alone[:, 0])
    other_seed, _ = next(resample(draw(counts[1:], ["b"], 5, 1)))
    assert not np.array_equal(other_seed, alone)


def test_basic_interval_is_that_of_scipy():
    sample = np.random.default_rng(4).exponential(size=40)
    scipy_way = stats.bootstrap(
        (sample,), np.mean, n_resamples=4000, method="basic", rng=np.random.default_rng(0)
    )
    found = estimate(sample.mean(), scipy_way.bootstrap_distribution)
    np.testing.assert_allclose([found.low, found.high], scipy_way.confidence_interval)


def test_frequency_intervals_cover_the_truth():
    rng = np.random.default_rng(5)
    truth = draw_truth(rng, ["a"])
    covered = []
    for seed in range(40):
        counts = draw_counts(rng, truth, n_blocks=30, tokens_per_block=100)
        low, high = frequency_intervals(draw(counts, ["a"], 200, seed))
        covered.append((low[0] <= 6 * truth[0]) & (6 * truth[0] <= high[0]))
    assert 0.90 < np.mean(covered) < 0.97


def test_intervals_of_distances_cover_the_true_distance_that_the_plain_value_overshoots():
    rng = np.random.default_rng(6)
    truth = draw_truth(rng, ["a", "b", "c"], own=0.4)
    true = distances(6 * truth, np.full(3, 1e12))
    pairs = np.triu_indices(3, 1)
    covered, plain, corrected = [], [], []
    for seed in range(60):
        counts = draw_counts(rng, truth, n_blocks=30, tokens_per_block=60)
        found = bootstrap(draw(counts, "abc", 200, seed), distances)
        for measure in MEASURES:
            e = found.estimate(measure)
            covered.append((e.low <= true[measure])[pairs] & (true[measure] <= e.high)[pairs])
            plain.append(e.value[pairs] / true[measure][pairs])
            corrected.append(e.corrected[pairs] / true[measure][pairs])
    assert 0.90 < np.mean(covered) < 0.98
    assert np.mean(plain) > 1.02
    assert np.mean(corrected) == pytest.approx(1, abs=0.006)


def test_intervals_of_counts_cover_where_the_basic_interval_does_not():
    # Truths are drawn anew each time, so that experts lie about the threshold without a pattern.
    rng = np.random.default_rng(7)
    counted, basic = [], []

    def counting(frequency):
        return {"n_high": (frequency >= 0.05).sum(axis=(1, 2, 3)).astype(float)}

    for seed in range(150):
        truth = draw_truth(rng, ["a", "b"], n_layers=4, n_experts=40, own=0.8)
        counts = draw_counts(rng, truth, n_blocks=20, top_k=9)
        true = (9 * truth >= 0.05).sum()
        found = bootstrap(draw(counts, "ab", 200, seed), lambda frequency, n_tokens: {}, counting)
        good = found.estimate("n_high")
        plain = estimate(found.values["n_high"], found.drawn["n_high"])
        counted.append(good.low <= true <= good.high)
        basic.append(plain.low <= true <= plain.high)
    assert np.mean(counted) > 0.9
    assert np.mean(basic) < 0.85


def test_one_block_is_too_few():
    counts = ActivationCounts(np.full((1, 1, 2), 5), np.array([10]), 1)
    with pytest.raises(BabelscopeError, match=r"language xx: 1 blocks.*profile_documents"):
        next(resample(draw([counts], ["xx"], 10, 0)))


def test_the_interval_of_an_expert_that_is_always_active_ends_at_one():
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(3):
        n_tokens = rng.integers(3, 400, 30)
        n_active = np.stack([n_tokens, n_tokens // 3, n_tokens - n_tokens // 3], axis=1)[:, None, :]
        counts.append(ActivationCounts(n_active, n_tokens, 2))
    low, high = frequency_intervals(draw(counts, ["a", "b", "c"], 300, 0))
    np.testing.assert_allclose([low[:, 0, 0], high[:, 0, 0]], 1)
    assert (high <= 1).all() and (low >= 0).all()
