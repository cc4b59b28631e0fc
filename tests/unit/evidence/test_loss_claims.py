"""Claims about pruned models: rises of loss and their intervals, timings, the frontier, what people judge."""

import math

import numpy as np
import pytest
from scipy import stats
from tests.unit.evidence.pruning_results import CRITERIA, PAPER, result

from babelscope.evidence.claims import overall_verdict
from babelscope.evidence.pruning_claims import (
    gain_over_partitions,
    join_claims,
    judge_frontier,
    judge_speed,
    nll_difference,
)


def test_difference_of_losses_is_the_paired_test_for_documents_of_one_length():
    rng = np.random.default_rng(0)
    dense = rng.normal(4, 1, 30)
    pruned = dense + rng.normal(0.5, 0.2, 30)
    documents = result("en", dense, pruned, dense)["documents"]
    mean, error = nll_difference(documents, "pruned", "dense")
    assert mean == pytest.approx((pruned - dense).mean())
    assert error == pytest.approx(stats.sem(pruned - dense))
    assert nll_difference({k: v[:1] for k, v in documents.items()}, "pruned", "dense")[1] == math.inf


def test_rises_of_loss_are_judged_by_the_papers_largest():
    dense = [4.0, 4.2, 3.9, 4.1]
    results = [
        result("en", dense, [x + 0.3 + 0.01 * k for k, x in enumerate(dense)], dense, kept=0.75),
        result("ur", dense, [x + 5 + 0.01 * k for k, x in enumerate(dense)], dense, kept=0.65),
    ]
    ratios = {"en": 1.2, "ur": 1.3, "hi": 1.25}
    speed = [
        {"language": code, "phase": "decode", "ratio": ratio, "noisy": False}
        for code, ratio in ratios.items()
    ]
    rows = {row.id: row for row in join_claims(CRITERIA, [], results, speed, PAPER)}
    assert rows["loss.rise:en"].verdict == "holds"
    assert rows["loss.rise:en"].paper_value == pytest.approx(0.4)
    assert rows["loss.rise:ur"].verdict == "does not hold"
    assert rows["loss.smallest_rise:en"].verdict == "holds"
    assert rows["saved.all_saved"].value == pytest.approx(0.15)
    faster = rows["speed.decode"]
    assert faster.value == pytest.approx((1.2 * 1.3 * 1.25) ** (1 / 3)) and faster.verdict == "holds"
    unmeasured = rows["speed.prefill"]
    assert (unmeasured.value, unmeasured.verdict) == (None, "undecided")
    against_random = rows["random.random_loss"]
    assert against_random.value == pytest.approx(20.5 - np.mean([4.365, 9.065]))
    assert against_random.statistic.endswith("over languages and draws; one partition")
    compensated = rows["random.random_compensated_loss"]
    assert compensated.value is None and "compensated_draws is 0" in compensated.statistic


def test_the_interval_of_a_plain_loss_is_over_documents_and_partitions():
    dense = [4.0, 4.2, 3.9, 4.1]
    alone = [result(code, dense, [x + 5 for x in dense], dense) for code in ("en", "ur")]
    several = [result(code, dense, [x + 5 for x in dense], dense) for code in ("en", "ur")]
    for row, moves in zip(several, ((0.6, -0.9), (1.2, 0.3)), strict=True):
        for name, move in zip(("seed_1", "seed_2"), moves, strict=True):
            row["documents"][f"partition_{name}"] = [10 * (x + 5 + move) for x in dense[:3]]
    before, after = (
        {row.id: row for row in join_claims(CRITERIA, [], results, [], PAPER)} for results in (alone, several)
    )
    for row_id, shifts in (
        ("loss.rise:en", [0, 0.6, -0.9]),
        ("loss.rise:ur", [0, 1.2, 0.3]),
        ("loss.rise_mean", [0, 0.9, -0.3]),  # shifts of the languages do not cancel: one cut serves both
    ):
        half = stats.t.ppf(0.975, 2) * np.std(shifts, ddof=1) / 3**0.5
        assert before[row_id].statistic.endswith("one partition: pruning.partition_documents is 0")
        assert before[row_id].high - before[row_id].low == pytest.approx(0)
        assert after[row_id].value == pytest.approx(5 + np.mean(shifts))
        assert after[row_id].high - after[row_id].low == pytest.approx(2 * half)
        assert "partition" not in after[row_id].statistic
    # random experts are of one partition: chosen ones that lose 0.2 more in the mean are 0.2 nearer
    alone, both = before["random.random_loss"], after["random.random_loss"]
    assert both.value == pytest.approx(alone.value - 0.2)
    spread = stats.t.ppf(0.975, 2) * np.std([0, 0.9, -0.3], ddof=1) / 3**0.5
    assert both.high - both.value == pytest.approx(math.hypot(alone.high - alone.value, spread))
    assert both.statistic.endswith("partitions of the chosen experts (random ones of one)")


@pytest.mark.parametrize(("of_all", "of_each"), [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0), (3.0, 0.0)])
def test_the_interval_against_random_experts_of_one_partition_covers_partitions(of_all, of_each):
    rng = np.random.default_rng(0)
    n_studies, n_languages, none = 2000, 9, np.zeros((1, 9))
    covered = covered_without = 0
    for _ in range(n_studies):
        languages, draws = rng.standard_normal((n_languages, 1)), rng.standard_normal((n_languages, 5))
        # losses of chosen experts by partition: what a cut does to all languages, and to each
        chosen = of_all * rng.standard_normal((3, 1)) + of_each * rng.standard_normal((3, n_languages))
        gains = 5 + 2 * languages + 3 * draws - chosen[0][:, None]
        value, half = gain_over_partitions(gains, chosen - chosen[0])
        covered += abs(value - 5) <= half
        value, half = gain_over_partitions(gains, none)
        covered_without += abs(value - 5) <= half
    assert covered / n_studies >= 0.94
    if of_all == 3.0:  # what an interval over languages and draws is worth then
        assert covered_without / n_studies < 0.7


def test_what_only_people_can_judge_is_not_tested_and_has_its_stand_in():
    results = [result("en", [4.0, 4.2, 3.9], [4.5, 4.1, 4.8], [4.2, 4.2, 4.2])]
    rows = {row.id: row for row in join_claims(CRITERIA, [], results, [], PAPER)}
    people, stand_in = rows["people.pruned_worse"], rows["people.loss_worse"]
    assert (people.value, people.paper_value, people.verdict) == (None, 0.52, "not tested")
    assert stand_in.value == pytest.approx(2 / 3) and stand_in.verdict == "not tested"
    assert 0.2 < stand_in.low < 2 / 3 < stand_in.high < 1
    assert overall_verdict([people, stand_in]) == "not tested"


def test_batch_sizes_of_one_model_are_one_timing():
    def timed(code, ratio):
        return {"language": code, "phase": "decode", "ratio": ratio, "noisy": False}

    results = [result("en", [1.0], [2.0], [1.5])]
    models = {"en": 1.2, "hi": 1.3, "ur": 1.25}
    once = judge_speed(CRITERIA, [timed(code, ratio) for code, ratio in models.items()], results)[1]
    many = [timed(code, ratio * f) for code, ratio in models.items() for f in (0.99, 1.01, 0.99, 1.01)]
    again = judge_speed(CRITERIA, many, results)[1]
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=1e-3)


def timed_once(turns, languages):
    """Prefill and decoding of one model at two batch sizes."""
    return [
        {
            "language": "en",
            "phase": phase,
            "ratio": 2.0,
            "noisy": False,
            "turns": ratios,
            "languages": languages,
        }
        for phase in ("prefill", "decode")
        for ratios in (turns, turns[::-1])
    ]


def test_one_model_with_the_widths_of_all_has_an_interval_over_turns():
    results = [result(code, [1.0], [2.0], [1.5]) for code in ("en", "hi")]
    turns = np.array([1.9, 2.1, 2.0, 2.2])
    decode = judge_speed(CRITERIA, timed_once(turns.tolist(), ["en", "hi"]), results)[1]
    means = (np.log(turns) + np.log(turns[::-1])) / 2  # batch sizes of one turn are one observation
    half = stats.t.ppf(0.975, 3) * means.std(ddof=1) / 2
    assert (decode.value, decode.verdict) == (pytest.approx(2), "holds")
    assert (decode.low, decode.high) == (pytest.approx(2 * np.exp(-half)), pytest.approx(2 * np.exp(half)))
    assert decode.statistic.endswith("one model, over the turns of its timing")


@pytest.mark.parametrize(("turns", "languages"), [([2.0], ["en", "hi"]), ([1.9, 2.1], ["en"])])
def test_one_turn_and_one_of_several_models_have_no_interval(turns, languages):
    results = [result(code, [1.0], [2.0], [1.5]) for code in ("en", "hi")]
    decode = judge_speed(CRITERIA, timed_once(turns, languages), results)[1]
    assert (decode.value, decode.low, decode.verdict) == (2, None, "undecided")


def test_noisy_timings_decide_no_claim():
    def timed(phase, ratio, noisy, language="en"):
        return {"language": language, "phase": phase, "ratio": ratio, "noisy": noisy}

    ratios = {"en": 1.2, "hi": 1.3, "ur": 1.25}
    calm = [timed("decode", ratio, False, code) for code, ratio in ratios.items()]
    disturbed = [timed("decode", 0.1, True), timed("prefill", 9.0, True), timed("prefill", 9.1, True)]
    results = [result("en", [1.0], [2.0], [1.5])]
    prefill, decode, _ = judge_speed(CRITERIA, [*calm, *disturbed], results)
    assert decode == judge_speed(CRITERIA, calm, results)[1]
    assert (prefill.value, prefill.verdict) == (None, "undecided") and "too noisy" in prefill.statistic


def test_frontier_compares_methods_at_every_share():
    nll = {"random": 9.0, "most_frequent_per_layer": 6.0, "layer_rates": 6.5}
    nll |= {"random_same_layers": 8.0, "most_frequent": 7.0}
    frontier = [
        {"language": code, "method": method, "share": share, "nll": value + shift - float(share)}
        for code, shift in (("en", 0.0), ("hi", 0.1))
        for method, losses in nll.items()
        for value in ((losses - 1, losses + 1) if method.startswith("random") else (losses,))
        for share in ("0.5", "0.9")
    ]
    rows = judge_frontier(CRITERIA, [*frontier, {"language": "en", "method": "dense", "share": 1, "nll": 4}])
    assert [round(row.value, 6) for row in rows] == [3, 3, 1, 1, -0.5, -0.5]
    assert [row.verdict for row in rows] == ["holds"] * 4 + ["does not hold"] * 2
    assert rows[0].statistic.endswith("50 % of experts kept")
