"""Targeted ablation: matched controls and the table of damage, by hand and on planted damage."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.pruning.ablation import match_units, removed_mask, specific_experts, specific_neurons
from babelscope.pruning.ablation_table import tabulate_ablations
from babelscope.recording.neurons import NeuronStatistics


def test_specific_experts_are_those_that_the_index_says_belong_to_one_language():
    classes = {"layer": [1, 0, 0], "expert": [2, 0, 1]}
    classes |= {"class": ["specific", "family-specific", "specific"], "group": ["hi", "Indic", "de"]}
    found = specific_experts(classes, ["en", "hi"], (2, 3))
    assert not found["en"].any()
    assert np.argwhere(found["hi"]).tolist() == [[1, 2]]


def test_controls_are_of_the_same_layer_as_frequent_and_of_the_same_norm():
    rng = np.random.default_rng(0)
    frequency, norm = rng.random((3, 2000)), np.exp(rng.normal(size=(3, 2000)))
    chosen = np.zeros((3, 2000), dtype=bool)
    chosen[0, :6] = chosen[2, 4:7] = True
    frequency[0, :6], norm[0, :6] = 0.9, 3.0  # what is specific is frequent and says much
    controls = match_units(chosen, frequency, norm, 3)
    assert len(controls) == 3
    for control in controls:
        assert control.sum(axis=1).tolist() == [6, 0, 3] and not (control & chosen).any()
        assert frequency[0][control[0]].mean() == pytest.approx(0.9, abs=0.15)
        assert np.log(norm[0][control[0]]).mean() == pytest.approx(np.log(3.0), abs=0.5)
    assert sum(control.astype(int) for control in controls).max() == 1
    assert abs(frequency[0, 6:].mean() - 0.9) > 0.3  # units at random would not have matched


def test_too_few_other_units_make_fewer_controls():
    chosen = np.array([[True, True, False, False, False]])
    assert len(match_units(chosen, np.full((1, 5), 0.1), np.ones((1, 5)), 3)) == 1


def test_neurons_of_several_languages_are_specific_to_none():
    n_positive = np.full((3, 2, 40), 10)
    n_positive[0, 0, :2] = 900  # of the first language
    n_positive[:2, 1, :2] = 900  # of two
    h = n_positive.astype(float)
    statistics = {
        code: NeuronStatistics(row[None], x[None] * 0, x[None] * 2000, x[None], np.array([1000]))
        for code, row, x in zip(("en", "fr", "hi"), n_positive, h, strict=True)
    }
    found = specific_neurons(statistics)
    assert np.argwhere(found["en"]).tolist() == [[0, 0], [0, 1]]
    assert not found["fr"].any() and not found["hi"].any()


def results(damage, n_documents=30, noise=0.05):
    """Losses in which each set does a given damage, nats per document, to the own and to other languages."""
    rng = np.random.default_rng(0)
    found = {}
    for text in ("en", "fr", "hi"):
        dense = rng.normal(100, 10, n_documents)
        cells = [
            {
                "kind": "experts",
                "language": code,
                "set": name,
                "n_units": 4,
                "nll": (dense + own_or_other[text != code] + rng.normal(0, noise, n_documents)).tolist(),
            }
            for code in ("en", "fr")
            for name, own_or_other in damage.items()
        ]
        sizes = {"n_predicted": [20] * n_documents, "n_bytes": [80] * n_documents}
        found[text] = {**sizes, "dense": dense.tolist(), "cells": cells}
    return found


def test_damage_beyond_the_control_is_found_and_nothing_where_both_are_the_same():
    bits = np.log(2) * 80
    planted = {"specific": (20, 4), "control_0": (6, 5), "control_1": (8, 5)}
    rows = {row["language"]: row for row in tabulate_ablations(results(planted), 0)}
    assert list(rows) == ["en", "fr", "all"]  # hi has no specific expert
    row = rows["en"]
    assert row["own"] == pytest.approx(20 / bits, rel=0.01)
    assert row["others"] == pytest.approx(4 / bits, rel=0.01)
    assert row["control_own"] == pytest.approx(7 / bits, rel=0.01)
    assert row["beyond_control"] == pytest.approx((16 - 2) / bits, rel=0.02)
    assert 0 < row["beyond_control_low"] < row["beyond_control"] < row["beyond_control_high"]
    assert rows["all"]["beyond_control_low"] > 0 and rows["all"]["n_controls"] == 2
    same = {"specific": (20, 4), "control_0": (20, 4)}
    (row, *_) = tabulate_ablations(results(same, noise=2.0), 0)
    assert row["low"] > 0  # own damage is larger, but so is that of the control
    assert row["beyond_control_low"] < 0 < row["beyond_control_high"]


def test_without_controls_their_columns_are_empty():
    row, *_ = tabulate_ablations(results({"specific": (20, 4)}), 0)
    assert row["n_controls"] == 0 and row["control_own"] is row["beyond_control"] is None


def test_removed_neurons_are_marked():
    assert removed_mask([[0, 2], []], 3).tolist() == [[True, False, True], [False, False, False]]
