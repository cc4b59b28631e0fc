"""How far annotators agree, and intervals of shares."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from babelscope.responses.agreement import fleiss_kappa, krippendorff_alpha, share_interval
from babelscope.study.errors import BabelscopeError

NAN = np.nan
CODER_DATA = np.array(  # Krippendorff 2011, section D: observers A to D, units 1 to 12
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def test_alpha_of_the_published_examples():
    # Krippendorff 2011: section A (binary), B (nominal), D (missing data, nominal and ordinal).
    meg_owen = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=float)
    assert krippendorff_alpha(meg_owen, "nominal") == pytest.approx(0.095, abs=5e-4)
    ben_gerry = np.array([[ord(letter) for letter in row] for row in ("aabbdcccedda", "babbbccceddd")])
    assert krippendorff_alpha(ben_gerry.astype(float), "nominal") == pytest.approx(0.692, abs=5e-4)
    assert krippendorff_alpha(CODER_DATA, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(CODER_DATA, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_alpha_of_fixed_examples_to_the_last_digits():
    assert krippendorff_alpha(CODER_DATA, "nominal") == pytest.approx(0.743421052631579, abs=1e-12)
    assert krippendorff_alpha(CODER_DATA, "ordinal") == pytest.approx(0.8153875037548813, abs=1e-12)


def test_nominal_alpha_is_one_less_the_ratio_of_disagreeing_pairs():
    rng = np.random.default_rng(3)
    ratings = rng.integers(-1, 2, (4, 9)).astype(float)
    ratings[rng.random(ratings.shape) < 0.3] = NAN
    observed, pool = 0.0, []
    for item in ratings.T:
        values = item[~np.isnan(item)]
        if len(values) < 2:
            continue
        pool.extend(values)
        observed += sum(a != b for a in values for b in values) / (len(values) - 1)
    expected = sum(a != b for a in pool for b in pool) / (len(pool) - 1)
    assert krippendorff_alpha(ratings, "nominal") == pytest.approx(1 - observed / expected)


def test_ordinal_alpha_forgives_near_misses():
    near, far = np.array([[-1.0, 0, 1, 1], [-1, 0, 1, 0]]), np.array([[-1.0, 0, 1, 1], [-1, 0, 1, -1]])
    assert krippendorff_alpha(near, "ordinal") > krippendorff_alpha(far, "ordinal")


def test_agreement_that_is_not_defined_is_none():
    assert krippendorff_alpha(np.array([[1.0, 1], [1, 1]]), "nominal") is None
    assert krippendorff_alpha(np.array([[1.0, NAN], [NAN, 0]]), "ordinal") is None
    assert fleiss_kappa(np.array([[2, 0], [1, 0]])) is None
    assert fleiss_kappa(np.array([[1, 0], [0, 1]])) is None
    assert fleiss_kappa(np.array([[3, 0], [3, 0]])) is None
    assert fleiss_kappa(np.zeros((0, 3), dtype=int)) is None
    with pytest.raises(BabelscopeError, match=r"shape \(3,\)"):
        krippendorff_alpha(np.ones(3), "nominal")


def test_kappa_by_hand():
    # Fleiss 1971: items agree 1, 1/3 and 1/3; shares 5/9 and 4/9, so chance gives 41/81.
    counts = np.array([[3, 0], [1, 2], [1, 2]])
    assert fleiss_kappa(counts) == pytest.approx((5 / 9 - 41 / 81) / (1 - 41 / 81))


def test_the_interval_of_one_annotator_is_wilsons():
    for n_wins in (0, 3, 10):
        counts = np.array([1] * n_wins + [0] * (10 - n_wins))
        expected = proportion_confint(n_wins, 10, method="wilson")
        assert share_interval(counts, np.ones(10, dtype=int))[1:] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "n_ratings", "level", "expected"),
    [
        ([6, 0] * 20, [6] * 40, 0.95, (0.5, 0.35199526933465386, 0.6480047306653461)),
        ([3, 2, 4, 3] * 10, [6] * 40, 0.95, (0.5, 0.43724268978525527, 0.5627573102147447)),
        ([0, 0, 0], [1, 2, 3], 0.95, (0.0, 0.0, 0.5614970317550454)),
        ([1, 2, 3], [1, 2, 3], 0.9, (1.0, 0.5258044258424872, 1.0)),
        ([1, 0, 2], [1, 3, 2], 0.8, (0.5, 0.20260339407025701, 0.797396605929743)),
    ],
)
def test_intervals_of_fixed_examples(counts, n_ratings, level, expected):
    found = share_interval(np.array(counts), np.array(n_ratings), level)
    assert found == pytest.approx(expected, abs=1e-12)


def test_agreeing_annotators_do_not_narrow_the_interval_and_independent_ones_do():
    one = share_interval(np.array([1, 0] * 20), np.ones(40, dtype=int))
    agreeing = share_interval(np.array([6, 0] * 20), np.full(40, 6))
    mixed = share_interval(np.array([3, 2, 4, 3] * 10), np.full(40, 6))
    assert agreeing == pytest.approx(one, abs=1e-9)
    assert mixed[2] - mixed[1] < (one[2] - one[1]) / 2


def test_the_interval_covers_the_truth_when_annotators_agree():
    # 40 items of six annotators, share 0.3, beta-binomial with intra-item correlation 0.5.
    rng = np.random.default_rng(0)
    hits, n_trials = 0, 1000
    for _ in range(n_trials):
        _, low, high = share_interval(rng.binomial(6, rng.beta(0.3, 0.7, 40)), np.full(40, 6))
        hits += low <= 0.3 <= high
    assert hits / n_trials > 0.92


def test_a_share_of_nothing_is_an_error():
    with pytest.raises(BabelscopeError, match="at least one item"):
        share_interval(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
