"""The simulation of planted domains: what it plants, and that it goes on where it stopped."""

import argparse

import numpy as np
import pytest
from benchmarks.chunks import run_chunks
from benchmarks.domains import USUAL, draw_corpora, outside, planted_ratios, rows_of, work

from babelscope.statistics.bootstrap import Estimate


def count_studies(scenario, chunk, n_studies):
    return {"studies": [n_studies], "chunks": [chunk, scenario["a"]]}


def test_chunks_that_are_done_are_not_run_again(tmp_path):
    args = argparse.Namespace(studies=6, chunk=3, processes=1, keep=tmp_path / "done.jsonl", minutes=1)
    found = run_chunks(count_studies, [{"a": 1}, {"a": 2}], args)
    assert [(scenario["a"], n) for scenario, n, _ in found] == [(1, 6), (2, 6)]
    assert found[1][2]["chunks"].tolist() == [1, 4]
    args.studies = 9
    found = run_chunks(count_studies, [{"a": 2}], args)
    assert found[0][1] == 9 and found[0][2]["chunks"].tolist() == [3, 6]
    assert len(args.keep.read_text().splitlines()) == 5


def test_corpora_are_those_of_every_domain_and_language():
    scenario = {**USUAL, "family": 0.25, "topic": 0.05}
    corpora, true = draw_corpora(np.random.default_rng(0), scenario)
    assert [len(counts) for counts in corpora] == [9, 9]
    assert true.sum(axis=(1, 2)) == pytest.approx(np.full(9, 24))


@pytest.mark.parametrize(
    ("changes", "interactions", "domain"),
    [
        ({"topic": 0.05}, 0.3, 0.0),
        ({"topic": 0.05, "of": "domain"}, 0.1, 0.3),
        ({"topic": 0.05, "common": 0.05}, 0.3, 0.3),
        ({"topic": 0.0}, 0.0, 0.0),
    ],
)
def test_topics_of_a_whole_domain_move_all_languages_and_hardly_one_of_them(changes, interactions, domain):
    found = planted_ratios({**USUAL, "family": 0.25, **changes}, 3)
    assert found["ratio"] == pytest.approx(interactions, abs=0.05)
    assert found["ratio_domain"] == pytest.approx(domain, abs=0.05)


def test_without_the_domain_intervals_miss_and_with_it_they_do_not():
    scenario = {**USUAL, "family": 0.25, "topic": 0.05, "n_blocks": 10}
    tally = work(scenario, 0, 6)
    sums = {name: np.array(values) for name, values in tally.items()}
    rows = {(row["interval"], row["question"]): row["mean"] for row in rows_of(scenario, 6, sums)}
    assert rows["one corpus, documents", "size"] > 0.4
    assert rows["domain as a random effect", "size"] < 0.25
    assert len(rows) == 8


def test_an_interval_lies_on_one_side_of_a_value_or_around_it():
    names = ("between_within", "english_romance", "english_distinct", "arabic_indic", "chinese_romance")
    found = {name: Estimate(1.0, 1.0, 0.5, 1.5) for name in names}
    sides = outside(found, dict(zip(names, (0.0, 1.0, 2.0, 0.5, 1.5), strict=True)))
    assert sides.tolist() == [1, 0, -1, 0, 0]
