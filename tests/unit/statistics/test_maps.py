"""The fit of two maps and its permutation test."""

import itertools

import numpy as np
import pytest
from scipy.spatial import procrustes

from babelscope.statistics.maps import compare_maps


def points(n, seed):
    return np.random.default_rng(seed).random((n, 2))


@pytest.mark.parametrize("n", [4, 9])
def test_the_fit_is_that_of_scipys_procrustes(n):
    first, second = points(n, 0), points(n, 1)
    fit, _ = compare_maps(first, second, np.random.default_rng(0))
    assert fit == pytest.approx(1 - procrustes(first, second)[2])


def test_few_objects_are_permuted_in_every_way():
    first = points(5, 0)
    second = first + points(5, 1) / 5
    fits = [1 - procrustes(first, second[list(order)])[2] for order in itertools.permutations(range(5))]
    expected = np.mean(np.array(fits) >= fits[0] - 1e-9)
    assert compare_maps(first, second, np.random.default_rng(0))[1] == pytest.approx(expected)


def test_many_objects_are_permuted_at_random_and_the_data_count_in():
    first = points(12, 0)
    fit, p_value = compare_maps(first, 2 - first, np.random.default_rng(0))
    assert fit == pytest.approx(1)
    assert p_value == pytest.approx(1 / 10_000)
