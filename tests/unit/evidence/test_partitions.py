"""The interval over documents and partitions covers what it says."""

import numpy as np
from scipy import stats

from babelscope.statistics.bootstrap import estimate, spread_of_mean


def test_the_interval_over_documents_and_partitions_covers_the_truth():
    # a statistic with noise of documents (the same for all partitions) and of partitions; truth is 0
    rng = np.random.default_rng(0)
    n_studies, n_partitions = 2000, 3
    for of_documents, of_partitions, least in ((1.0, 0.0, 0.94), (1.0, 1.0, 0.94), (0.1, 1.0, 0.93)):
        documents = of_documents * rng.normal(size=n_studies)
        each = documents + of_partitions * rng.normal(size=(n_partitions, n_studies))
        mean = each.mean(axis=0)
        replicates = mean + of_documents * rng.normal(size=(500, 1))
        plain = estimate(mean, replicates)
        both = plain.widened(spread_of_mean(each))
        covered = ((both.low <= 0) & (both.high >= 0)).mean()
        assert least <= covered, (of_documents, of_partitions, covered)
        if of_partitions == 1.0 and of_documents == 0.1:
            # documents alone would have covered far too seldom
            assert ((plain.low <= 0) & (plain.high >= 0)).mean() < 0.5


def test_spread_by_hand_and_of_one_partition():
    values = np.array([[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(spread_of_mean(values), stats.t.ppf(0.975, 2) * 1 / np.sqrt(3))
    np.testing.assert_array_equal(spread_of_mean(values[:1]), [0.0])
