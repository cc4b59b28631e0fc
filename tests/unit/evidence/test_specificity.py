"""Experts of one language, of one family, of all; false discoveries under control."""

import numpy as np
import pytest
from scipy import stats
from tests.unit.simulated_counts import CODES, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.draws import draw, resample
from babelscope.evidence.expert_tables import (
    CLASS_COLUMNS,
    index_columns,
    tabulate_classes,
    tabulate_index,
    tabulate_specific,
)
from babelscope.evidence.specificity import (
    frequency_variance,
    index_all,
    index_experts,
    language_entropy,
    most_specific,
)
from babelscope.files.tables import format_table
from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language

FOUR = [
    Language("fr", "French", "Indo-European", "Romance", "Latn"),
    Language("es", "Spanish", "Indo-European", "Romance", "Latn"),
    Language("hi", "Hindi", "Indo-European", "Indic", "Deva"),
    Language("zh", "Chinese", "Sino-Tibetan", "Chinese", "Hans"),
]


def planted(frequencies, n_blocks=10, tokens=1000, seed=0):
    """Counts of languages with these frequencies; the last expert takes what is missing to top_k = 1."""
    rng = np.random.default_rng(seed)
    counts = []
    for row in frequencies:
        shares = np.append(row, 1 - np.sum(row))
        n_active = rng.multinomial(tokens, shares, size=n_blocks)
        counts.append(ActivationCounts(n_active[:, None, :], np.full(n_blocks, tokens), 1))
    return counts


def test_entropy_by_hand():
    entropy = language_entropy(np.array([[0.2, 0.2], [0.3, 0.0], [0.3, 0.1], [0, 0]]))
    np.testing.assert_allclose(entropy[:3], [np.log(2), 0, stats.entropy([3, 1])], atol=1e-12)
    assert np.isnan(entropy[3])


def test_variance_is_that_of_the_bootstrap():
    rng = np.random.default_rng(1)
    counts = draw_counts(rng, draw_truth(rng, ["a"]), n_blocks=15, scatter=0.3)
    drawn = np.concatenate([frequency for frequency, _ in resample(draw(counts, ["a"], 4000, 0))])[:, 0]
    assert drawn.var(axis=0).sum() == pytest.approx(frequency_variance(counts[0]).sum(), rel=0.06)


def test_planted_experts_are_named():
    #             all   fr    fr es  IE    es zh  none   never
    frequency = [
        [0.10, 0.10, 0.10, 0.10, 0.00, 0.020, 0.0],  # fr
        [0.10, 0.01, 0.12, 0.10, 0.10, 0.010, 0.0],  # es
        [0.10, 0.01, 0.01, 0.10, 0.00, 0.020, 0.0],  # hi
        [0.10, 0.02, 0.01, 0.01, 0.10, 0.002, 0.0],  # zh
    ]
    index = index_experts(planted(frequency, seed=1), FOUR, 0.05)
    assert index.kind[:7] == (
        "shared",
        "specific",
        "family-specific",
        "family-specific",
        "mixed",
        "low",
        "dead",
    )
    assert index.group[:7] == ("", "fr", "Romance", "Indo-European", "", "", "")
    np.testing.assert_array_equal(index.n_languages_high[:7], [4, 1, 2, 3, 2, 0, 0])
    assert (FOUR[index.top[1]].code, FOUR[index.next[1]].code) == ("fr", "zh")
    assert index.low[1] < 0.08 < index.high[1]
    assert index.q_value[1] < 1e-6
    assert list(most_specific(index, 0, 5)) == [1]


def test_a_family_is_found_in_an_expert_that_all_languages_use():
    #             Romance more, IE more, one Romance language more, all the same
    frequency = [
        [0.20, 0.14, 0.14, 0.1],  # fr
        [0.21, 0.15, 0.06, 0.1],  # es
        [0.15, 0.14, 0.06, 0.1],  # hi
        [0.14, 0.08, 0.06, 0.1],  # zh
    ]
    index = index_experts(planted(frequency, seed=1), FOUR, 0.05)
    assert index.kind[:4] == ("shared",) * 4
    named = [(group, q <= 0.05) for group, q in zip(index.group_above, index.group_q_value, strict=True)]
    assert named[:2] == [("Romance", True), ("Indo-European", True)]
    assert not named[2][1] and not named[3][1]


def test_an_expert_just_over_the_threshold_is_not_called_specific():
    index = index_experts(planted([[0.052], [0.049], [0.049], [0.049]], tokens=200), FOUR, 0.0505)
    assert index.kind[0] != "specific"


def test_difference_and_p_value_are_welchs_for_blocks_of_one_size():
    counts = planted([[0.06], [0.05], [0.01], [0.01]], tokens=400)
    index = index_experts(counts, FOUR, 0.05)
    first, second = (count.n_active[:, 0, 0] / 400 for count in counts[:2])
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert index.p_value[0] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    np.testing.assert_allclose([index.low[0], index.high[0]], interval)


def test_languages_that_are_one_have_no_specific_experts():
    # The highest of nine is chosen by the same data; still the p values keep their level.
    rng = np.random.default_rng(2)
    rejected, discoveries, of_groups = [], [], []
    for _ in range(100):
        truth = np.repeat(draw_truth(rng, ["a"]), 9, axis=0)
        index = index_experts(draw_counts(rng, truth, n_blocks=30), PAPER_LANGUAGES, 0.05)
        rejected.append((index.p_value <= 0.05).mean())
        discoveries.append((index.q_value <= 0.05).any())
        of_groups.append((index.group_q_value <= 0.05).any())
    assert np.mean(rejected) <= 0.05
    assert np.mean(discoveries) <= 0.07
    assert np.mean(of_groups) <= 0.07


def test_two_tied_leaders_are_told_apart_at_five_percent():
    # the hardest case: two languages share the lead, the others are far behind
    rng = np.random.default_rng(3)
    truth = draw_truth(rng, ["a", "b", "c"], n_experts=40)
    truth[2] /= 50
    truth[1] = truth[0]
    p_values = []
    for _ in range(40):
        counts = draw_counts(rng, truth / truth.sum(axis=(1, 2), keepdims=True), n_blocks=30)
        p_values.append(index_experts([counts[0], counts[1]], FOUR[:2], 0.05).p_value)
    assert 0.03 < (np.concatenate(p_values) <= 0.05).mean() < 0.07


def test_false_discoveries_are_one_in_twenty():
    rng = np.random.default_rng(4)
    wrong = found = 0
    for _ in range(20):
        # the rarest first: two and a half times as often, they still leave room for the others
        common = np.sort(draw_truth(rng, ["a"], n_layers=1, n_experts=60))
        truth = np.repeat(common, 4, axis=0)
        truth[0, 0, :15] *= 2.5
        truth[0, 0, 15:] *= (1 - truth[0, 0, :15].sum()) / truth[0, 0, 15:].sum()
        counts = draw_counts(rng, truth, n_blocks=30, tokens_per_block=200)
        index = index_experts(counts, FOUR, 0.05)
        surely = index.q_value <= 0.05
        found += surely.sum()
        # the first language's other experts are below the rest, so a leader there is a false one
        wrong += surely[15:].sum()
    assert found > 100
    assert wrong / found < 0.08


def test_tables_of_experts():
    rng = np.random.default_rng(5)
    counts = draw_counts(rng, draw_truth(rng, CODES, own=0.8), n_blocks=20)
    index = index_experts(counts, PAPER_LANGUAGES, 0.05)
    rows = tabulate_index(index, CODES)
    assert [(row["layer"], row["expert"]) for row in rows[22:26]] == [(0, 22), (0, 23), (1, 0), (1, 1)]
    assert rows[30]["frequency_ur"] == pytest.approx(counts[5].frequency[1, 6])
    header = format_table(rows, index_columns(CODES)).splitlines()[0]
    assert header.startswith("layer,expert,frequency_en,") and header.endswith(
        "gap_q_value,group_above,group_q_value,class,group"
    )
    for row in tabulate_specific(index, CODES, 3):
        assert row["top_language"] == row["language"] and row["rank"] <= 3 and row["q_value"] <= 0.05
        assert row["frequency"] - row["next_frequency"] == pytest.approx(row["difference"])


def test_classes_are_counted_for_the_controls_too():
    specific = planted([[0.3], [0.01], [0.01], [0.01]], seed=1)
    narrow = planted([[0.1], [0.01], [0.01], [0.01]], seed=2)
    rows = tabulate_classes(index_all({"main": specific, "random": narrow}, FOUR, 0.05))
    assert [row["partition"] for row in rows] == ["main", "random"]
    assert [row["specific"] for row in rows] == [1, 1]
    assert [row["difference_over_0.2"] for row in rows] == [1, 0]
    assert all(sum(row[name] for name in CLASS_COLUMNS[1:-1]) == 2 for row in rows)
