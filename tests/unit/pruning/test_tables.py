"""Tables of pruning by hand, and the ratios that speed is compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_model

from babelscope.files.tables import format_table
from babelscope.model.load import StudyModel
from babelscope.pruning.cut import count_parameters
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.pruning.speed import SpeedSettings, Timing, measure_speed, measure_until_calm
from babelscope.pruning.speed_table import choose_models, same_widths, speed_table
from babelscope.pruning.tables import MATRIX_COLUMNS, excess_matrix, matrix_rows, pruning_columns
from babelscope.study.errors import BabelscopeError

LOG2 = np.log(2)


def result(own=(2.0, 4.0), other=(3.0, 5.0)):
    cells = [
        {"selection": "dense", "experts_of": "", "proportion_kept": 1.0, "nll": [1.0, 2.0]},
        {"selection": "threshold", "experts_of": "en", "proportion_kept": 0.5, "nll": list(own)},
        {"selection": "threshold", "experts_of": "hi", "proportion_kept": 0.25, "nll": list(other)},
    ]
    return {"n_predicted": [2, 4], "n_bytes": [10, 20], "cells": cells}


def test_matrix_by_hand():
    dense, own, other = matrix_rows("en", result(), seed=0)
    assert dense["nll"] == pytest.approx(3 / 6)
    assert dense["bits_per_byte"] == pytest.approx(3 / (LOG2 * 30))
    assert own["difference_bits_per_byte"] is None
    assert other["difference_bits_per_byte"] == pytest.approx(2 / (LOG2 * 30))
    # each document loses one nat more: the interval runs from the long document alone to the short one alone
    assert other["low"] == pytest.approx(1 / (LOG2 * 20), rel=0.01)
    assert other["high"] == pytest.approx(1 / (LOG2 * 10), rel=0.01)
    # both documents lie a third of a nat off the mean, 8 / 6 a token: sqrt(2 / 1 * (1 / 9 + 1 / 9)) / 6
    assert other["nll_standard_error"] == pytest.approx(1 / 9)
    matrix, texts, choices = excess_matrix([dense, own, other], "threshold")
    np.testing.assert_allclose(matrix, [[3 / (LOG2 * 30), 5 / (LOG2 * 30)]])
    assert (texts, choices) == (["en"], ["en", "hi"])
    first, second = format_table([dense, own], MATRIX_COLUMNS).splitlines()[:2]
    assert first.startswith("language,experts_of,selection,proportion_kept,nll,bits_per_byte,difference")
    assert second == f"en,,dense,1,0.5,{3 / (LOG2 * 30):.6g},,,,,,0,6"


def test_paired_differences_of_equal_losses_are_nothing():
    rows = matrix_rows("en", result(other=(2.0, 4.0)), seed=0)
    assert (rows[2]["difference_bits_per_byte"], rows[2]["low"], rows[2]["high"]) == (0, 0, 0)


def test_the_best_of_several_languages_has_an_interval_that_holds_for_all_of_them():
    rng = np.random.default_rng(0)
    n_missed, n_missed_simultaneous, n_tables, n_others = 0, 0, 150, 8
    for seed in range(n_tables):
        own = rng.normal(20, 1, 40)
        cells = [{"selection": "threshold", "experts_of": "en", "proportion_kept": 0.5, "nll": own}]
        others = own[None] + rng.normal(
            0, 1, (n_others, 40)
        )  # no language's experts are better than another's
        cells += [
            {"selection": "threshold", "experts_of": f"l{i}", "proportion_kept": 0.5, "nll": nll}
            for i, nll in enumerate(others)
        ]
        table = {"n_predicted": [10] * 40, "n_bytes": [50] * 40, "cells": cells}
        best = min(matrix_rows("en", table, seed)[1:], key=lambda row: row["nll"])
        n_missed += best["high"] < 0
        n_missed_simultaneous += best["high_simultaneous"] < 0
    # picked after the fact, the best of eight seems better than the own far too often
    assert n_missed / n_tables > 0.1
    assert n_missed_simultaneous / n_tables < 0.06


def test_pruning_table_keeps_the_contracts_order_and_leaves_what_is_missing_empty():
    names = (
        "language,proportion_high,nll_dense,nll_pruned,perplexity_dense,perplexity_pruned,"
        "bits_per_byte_dense,bits_per_byte_pruned,ffn_parameters_kept,parameters_kept"
    )
    row = {"model": "m", **{name: 0.5 for name in reversed(names.split(","))}, "language": "en"}
    row |= {"nll_random_sd": None, "documents": {"dense": [1.0]}}
    header, line = format_table([row], pruning_columns([row])).splitlines()
    assert header == names + ",nll_random_sd"
    assert line == "en" + ",0.5" * 9 + ","


def test_speed_is_held_against_operations_and_bytes():
    model = StudyModel(make_model("llama", tie_word_embeddings=False))
    keep = np.zeros((3, 24), dtype=bool)
    keep[:, :6] = True
    settings = SpeedSettings((1, 2), prompt_tokens=4, new_tokens=2, repeats=1, width_multiple=8)
    plans = {"en": PruningPlan(keep)}
    rows = list(measure_speed(model, plans, np.arange(3, 11), settings, {"en": ["en", "fr"]}))
    assert [(row.phase, row.batch_size) for row in rows] == [
        ("prefill", 1), ("decode", 1), ("prefill", 2), ("decode", 2)
    ]  # fmt: skip
    attention = 3 * (16 * 16 * 2 + 16 * 8 * 2)
    ffn, head = 3 * 3 * 16 * 24, 96 * 16
    for row in rows[::2]:
        scores_and_values = 3 * 2 * 8 * 4  # layers, heads, d_head, tokens: half of them, twice
        fixed = attention + scores_and_values
        assert row.ideal_ratio == pytest.approx((fixed + ffn) / (fixed + ffn / 4))
    for row in rows[1::2]:
        cache = row.batch_size * 3 * 2 * 8 * 5  # layers, keys and values, d_head, mean context
        fixed = attention + head + cache
        assert row.ideal_ratio == pytest.approx((fixed + ffn) / (fixed + ffn / 4))
    for row in rows:
        assert row.turns == pytest.approx([row.ratio]) and row.languages == ("en", "fr")
        assert row.ratio == pytest.approx(row.sliced_tokens_per_second / row.dense_tokens_per_second)
        assert row.share_of_ideal == pytest.approx(row.ratio / row.ideal_ratio)
        assert row.dense_weight_bytes - row.sliced_weight_bytes == 4 * ffn * 2 / 3  # 6 neurons run as 8
        assert (
            0
            < row.sliced_peak_bytes - row.sliced_weight_bytes
            <= row.dense_peak_bytes - row.dense_weight_bytes
        )
    assert speed_table(rows).startswith(
        "language,phase,batch_size,dense_tokens_per_second,sliced_tokens_per_second,ratio,ideal_ratio,"
    )
    assert speed_table(rows).splitlines()[1].endswith("en fr")
    assert model.layers[0].d_ff == 24


def hold_sequences(model, n_sequences):
    """Let a pass with more sequences than this run out of memory."""

    def limit(_module, _args, kwargs):
        if len(kwargs["input_ids"]) > n_sequences:
            raise torch.OutOfMemoryError("no more")

    model.base.register_forward_pre_hook(limit, with_kwargs=True)


@pytest.mark.parametrize(("n_sequences", "measured"), [(2, [1, 2]), (1, [1])])
def test_speed_is_measured_with_half_the_sequences_where_memory_runs_out(n_sequences, measured):
    model = StudyModel(make_model("llama"))
    hold_sequences(model, n_sequences)
    settings = SpeedSettings((1, 4), prompt_tokens=4, new_tokens=1, repeats=1)
    rows = list(measure_speed(model, {"en": PruningPlan(np.ones((3, 24), bool))}, np.arange(3, 11), settings))
    assert [row.batch_size for row in rows if row.phase == "decode"] == measured


def test_speed_of_one_sequence_that_does_not_fit_is_an_error_that_says_what_to_do():
    model = StudyModel(make_model("llama"))
    hold_sequences(model, 0)
    rows = measure_speed(
        model, {"en": PruningPlan(np.ones((3, 24), bool))}, np.arange(3, 11), SpeedSettings()
    )
    with pytest.raises(BabelscopeError, match=r"one document of 64 tokens at a time.*device_map: auto"):
        next(rows)


CALM = Timing(np.array([2.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0]))
NOISY = Timing(np.array([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 5.0]))


def test_spread_is_the_interquartile_range_of_the_ratios_over_their_median():
    assert (CALM.spread, CALM.noisy) == (0, False)
    assert NOISY.spread == pytest.approx((1.5 - 0.7) / 1) and NOISY.noisy


def test_turns_are_added_until_some_in_a_row_are_calm_and_marked_where_they_stay_noisy():
    def timed(*ratios):
        left = iter([{"decode": (ratio, 1.0), "prefill": (2.0, 1.0)} for ratio in ratios])
        asked.clear()

        def turn(phases):
            asked.append(tuple(phases))
            return next(left)

        return measure_until_calm(turn, repeats=3, attempts=3), len(list(left))

    asked: list[tuple[str, ...]] = []
    found, n_left = timed(2.0, 2.0, 2.0, 5.0)
    assert n_left == 1 and not found["decode"].noisy
    found, n_left = timed(2.0, 5.0, 1.0, 2.1, 2.2, 2.2, 9.0)
    assert n_left == 1 and found["decode"].turns.tolist() == [2.1, 2.2, 2.2]
    assert asked == [("prefill", "decode")] * 3 + [("decode",)] * 3
    assert found["prefill"].turns.tolist() == [2.0, 2.0, 2.0]
    found, n_left = timed(*[1.0, 2.0, 5.0] * 4)
    assert n_left == 3 and found["decode"].noisy


def test_smallest_median_and_largest_models_are_timed():
    n_kept = {"en": 5, "fr": 1, "hi": 9, "zh": 4, "ar": 7}
    assert choose_models(n_kept, "extremes") == ["en", "fr", "hi"]
    assert choose_models({"en": 5, "hi": 9}, "extremes") == ["en", "hi"]
    assert choose_models({"en": 5, "hi": 5, "zh": 5}, "extremes") == ["en", "hi", "zh"]
    assert choose_models(n_kept, "smallest") == ["fr"]
    assert choose_models(n_kept, "all") == list(n_kept)


def test_models_of_equal_widths_in_every_layer_are_one():
    rng = np.random.default_rng(0)
    first = np.arange(24) < np.array([[6], [9], [6]])
    plans = {"en": first, "hi": first[[1, 0, 2]], "zh": rng.permuted(first, axis=1), "ar": first[:, ::-1]}
    same = same_widths({code: PruningPlan(keep) for code, keep in plans.items()})
    assert same == {"en": ["en", "zh", "ar"], "hi": ["hi"]}


def test_tied_weights_are_counted_once():
    module = make_model("gemma2")
    assert torch.equal(module.lm_head.weight, module.model.embed_tokens.weight)
    model = StudyModel(module)
    before = count_parameters(model)
    assert before.ffn == 3 * 3 * 16 * 24
    assert before.total == sum(p.numel() for p in set(module.parameters()))
    keep = np.ones((3, 24), dtype=bool)
    keep[:, ::2] = False
    apply_plan(model.layers, PruningPlan(keep))
    after = count_parameters(model)
    assert before.total - after.total == before.ffn - after.ffn == before.ffn / 2
