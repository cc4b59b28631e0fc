"""The simulations of ``make bench-power``: they go on where they stopped, and count what they say."""

import json
from functools import partial
from pathlib import Path

import chunks
import numpy as np
import pytest
from planted_experts import find_planted, tabulate_experts
from planted_tests import NULLS, coordinates, scenarios
from planted_verdicts import APART, REAL, adds, false_holds, tabulate_verdicts

from babelscope.evidence.claims import ClaimRow, read_criteria
from babelscope.study.languages import read_languages

ROOT = Path(__file__).resolve().parents[3]
CODES = ["en", "fr", "es", "pt", "hi", "bn"]


def test_what_is_done_is_not_measured_again_and_a_line_cut_off_is(tmp_path):
    path = tmp_path / "pieces.jsonl"
    path.write_text(json.dumps(["one", 10]) + "\n" + '["two", 2')
    assert chunks.read_lines(path) == {"one": 10}
    path.write_text(json.dumps(["one", 10]) + "\n")
    found = chunks.measure({"one": partial(abs, -1), "two": partial(abs, -2)}, path, 1, 60)
    assert found == {"one": 10, "two": 2}
    assert chunks.read_lines(path) == found
    # no time left: what is there is told, nothing begins
    assert chunks.measure({"one": partial(abs, -1), "six": partial(abs, -6)}, path, 1, 0) == {"one": 10}


def test_planted_places_are_as_far_apart_as_the_predictor_says():
    groups = np.array([0, 0, 1, 1, 2])
    places = coordinates((groups[:, None] != groups).astype(float))
    squared = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared[0, 1], 0, atol=1e-12)
    np.testing.assert_allclose([squared[0, 2], squared[2, 4]], squared[0, 4])
    assert (places**2).sum() / 5 == pytest.approx(1)


def test_every_explanation_is_planted_alone_and_with_the_others():
    nulls = [strengths for kind, _, strengths in scenarios() if kind == "null"]
    assert nulls == [{}, *({name: 0.4} for name in NULLS), dict.fromkeys(NULLS, 0.4)]


def test_a_false_holds_is_one_that_dealt_text_does_not_have():
    study = {
        "asked": ["layers.a", "layers.b", "families.c", "families.d"],
        "holds": ["layers.a", "layers.b", "families.c"],
        "depends": [],
        "pooled": ["layers.a", "layers.b"],
        "adds": ["layers.b"],
    }
    # the first holds without languages, too; to the second the languages seem to add
    assert false_holds(study, REAL) == ["layers.b", "families.c"]
    assert false_holds(study, APART) == ["families.c"]
    rows = {row["id"]: row for row in tabulate_verdicts({f"{REAL}|0": [study], f"{REAL}|1": [study]})}
    assert rows["any"]["false_holds"] == 1 and rows["any"]["false_low"] < 1
    assert (rows["layers.a"]["holds"], rows["layers.a"]["false_holds"]) == (1, 0)


def test_languages_add_on_the_side_of_the_claim_alone():
    criteria = read_criteria(ROOT / "resources" / "claims.yaml")
    row = ClaimRow(
        "layers.gini_rise", "c", "s", 1.0, 0.9, 1.1, None, "holds", beyond_low=0.1, beyond_high=0.2
    )
    assert adds(row, criteria["layers.gini_rise"])
    assert not adds(row, criteria["sharing.table_3_distance"])
    assert not adds(row, criteria["saved.ffn_saved"])


def test_strong_planted_neurons_are_found_where_clusters_hold_them_together():
    assert set(CODES) <= set(read_languages())
    found = {f"balanced_kmeans|4|20000|{0}": find_planted(CODES, "balanced_kmeans", 4.0, 20_000, 0)}
    row = tabulate_experts(found)[0]
    assert row["recall"] > 0.95 and row["genus_recall"] > 0.9
    assert row["false_discovery_rate"] < 0.05 and row["genus_false_discovery_rate"] < 0.05
    assert row["genus_recall_by_class"] < row["genus_recall"]
