"""A second corpus per language: components of variance, the domain as a random effect, claims in each."""

import numpy as np
import pytest
from tests.unit.simulated_counts import CODES, PAPER_LANGUAGES, draw_counts, draw_truth

from babelscope.evidence.claims import FAILS, HOLDS, UNDECIDED, ClaimRow
from babelscope.evidence.corpora import agree_over_domains
from babelscope.evidence.corpus_distances import corpus_distances, domain_rows, second_corpora
from babelscope.evidence.domains import (
    draw_domains,
    few_languages,
    interactions,
    variance_components,
)
from babelscope.evidence.specificity import frequency_variance


def layout(rng, n_domains=2, n_languages=9, own=1.0, domain=1.0, both=1.0, cells=400):
    """Frequencies with planted standard deviations of languages, domains and interactions."""
    shape = (1, cells)
    grid = rng.normal(0, own, (1, n_languages, *shape)) + rng.normal(0, domain, (n_domains, 1, *shape))
    return 100 + grid + rng.normal(0, both, (n_domains, n_languages, *shape))


def test_components_are_those_that_were_planted():
    rng = np.random.default_rng(0)
    frequency = layout(rng, n_domains=4, n_languages=12, own=2.0, domain=1.5, both=1.0, cells=2000)
    frequency += rng.normal(0, 0.5, frequency.shape)
    found = variance_components(frequency, np.full((4, 12), 0.25 * 2000))
    per_cell = {row["component"]: row["squared"] / 2000 for row in found}
    expected = {"language": 4.0, "domain": 2.25, "language x domain": 1.0, "documents": 0.25}
    for name, value in expected.items():
        assert per_cell[name] == pytest.approx(value, rel=0.1)
    assert sum(row["share"] for row in found) == pytest.approx(1)
    assert found[0]["low"] < found[0]["squared"] < found[0]["high"]


def test_a_domain_that_does_the_same_to_all_languages_is_no_interaction():
    rng = np.random.default_rng(1)
    assert np.abs(interactions(layout(rng, both=0.0))).max() < 1e-10
    with_both = interactions(layout(rng, n_languages=5, both=1.0, cells=4000))
    # in each of two domains half of the difference is left: half of the variance
    assert with_both.var() == pytest.approx(0.5, rel=0.05)


def test_replicates_scatter_as_means_over_domains_do():
    rng = np.random.default_rng(2)
    frequency = 0.5 + 0.01 * rng.normal(0, 1, (3, 8, 1, 500))
    draws = draw_domains(frequency, np.full((3, 8), 100), 400, rng)
    drawn = np.concatenate([chunk for chunk, _ in draws.replicates()])
    assert drawn.mean(axis=0) == pytest.approx(frequency.mean(axis=0), abs=3e-3)
    assert drawn.var(axis=0).mean() == pytest.approx(1e-4 / 3, rel=0.1)


def test_intervals_from_few_languages_are_wider():
    assert few_languages(9, 2) == pytest.approx(2.306 / 1.960, abs=1e-3)
    assert few_languages(3, 2) > few_languages(9, 2) > few_languages(9, 4) > 1


def row(verdict, value=0.1):
    return ClaimRow("a.b", "claim", "statistic", value, 0.0, 0.2, None, verdict)


def test_a_claim_that_holds_in_one_domain_alone_is_undecided_with_both_numbers():
    alone = {"main": row(HOLDS, 0.31), "news": row(FAILS, -0.12)}
    found = agree_over_domains(row(HOLDS), alone)
    assert found.verdict == UNDECIDED
    assert found.depends_on == "main: 0.31 holds; news: -0.12 does not hold"
    assert agree_over_domains(row(HOLDS), {"main": row(HOLDS), "news": row(HOLDS)}).verdict == HOLDS
    assert agree_over_domains(row(UNDECIDED), {"main": row(HOLDS), "news": row(HOLDS)}).verdict == UNDECIDED


def test_a_language_in_two_corpora_is_farther_than_its_halves_and_has_its_nearest_in_each():
    rng = np.random.default_rng(3)
    truth = draw_truth(rng, CODES, n_layers=2, own=0.4)
    moved = truth * np.exp(rng.normal(0, 0.3, truth.shape))
    moved /= moved.sum(axis=(1, 2), keepdims=True)
    counts = draw_counts(rng, truth) + draw_counts(rng, moved)
    names = [*CODES, *(f"{code}.news" for code in CODES)]
    distances, floor = corpus_distances(counts, names, n_replicates=100, n_splits=10, seed=0)
    domains = {"main": {c: c for c in CODES}, "news": {c: f"{c}.news" for c in CODES}}
    rows = [r for r in domain_rows(distances, floor, names, domains) if r["measure"] == "euclidean"]
    assert [r["language"] for r in rows] == CODES
    for found in rows:
        assert found["low"] > found["halves"]
        assert found["nearest_a"] != found["language"] and found["nearest_a"] in CODES
    assert len(PAPER_LANGUAGES) == len(rows)
    assert frequency_variance(counts[0]).sum() > 0


def test_the_floor_of_a_second_corpus_stands_beside_that_of_halves_or_is_said_to_be_missing():
    rng = np.random.default_rng(4)
    truth = draw_truth(rng, CODES, n_layers=2, own=0.4)
    moved = truth * np.exp(rng.normal(0, 0.3, truth.shape))
    moved /= moved.sum(axis=(1, 2), keepdims=True)
    counts, other = draw_counts(rng, truth), draw_counts(rng, moved)
    have = dict(zip(CODES[:-1], other[:-1], strict=True))
    found = second_corpora(counts, CODES, {"news": have, "speech": have}, 100, 0)
    both, names = [*counts, *other], [*CODES, *(f"{code}.news" for code in CODES)]
    distances, floor = corpus_distances(both, names, n_replicates=100, n_splits=10, seed=0)
    expected = distances["euclidean"].corrected[0, len(CODES)]
    assert found[CODES[0]]["second_corpus_euclidean"] == pytest.approx(expected)
    for code, halves in zip(CODES[:-1], floor.full["euclidean"], strict=False):
        assert found[code]["second_corpus"] == "news"
        assert found[code]["second_corpus_high"] > found[code]["second_corpus_low"] > halves
    assert found[CODES[-1]]["second_corpus"] == "not measured: corpus.domains has none"
    assert found[CODES[-1]]["second_corpus_euclidean"] is None
    assert {row["second_corpus"] for row in second_corpora(counts, CODES, {}, 100, 0).values()} == {
        "not measured: corpus.domains has none"
    }
