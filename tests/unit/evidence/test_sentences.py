"""Paired documents: the same blocks are drawn in all languages, and translations find each other."""

import numpy as np
import pytest

from babelscope.evidence.draws import draw, shuffle_languages
from babelscope.evidence.sentences import compare_sentences, translation_rows
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.parallel import align
from babelscope.study.errors import BabelscopeError

CODES = ["en", "fr", "hi"]
N = 60


def planted(rng, content, n_tokens=200, units=None):
    """Languages whose sentences share their content to a degree, over a profile of their own."""
    units = np.arange(N) if units is None else units
    shared = rng.normal(0, content, (N, 2, 30))
    counts = {}
    for code in CODES:
        logs = rng.normal(0, 0.5, (2, 30)) + shared + rng.normal(0, 0.3, shared.shape)
        p = np.exp(logs).reshape(N, -1)
        n_active = np.stack([rng.multinomial(6 * n_tokens, row / row.sum()) for row in p])
        tokens = np.full(N, n_tokens)
        order = rng.permutation(N)
        counts[code] = ActivationCounts(
            n_active.reshape(N, 2, 30)[order], tokens[order], 6, unit=np.asarray(units)[order]
        )
    return counts


def test_translations_with_content_in_common_find_each_other():
    rows, excess, retrieved = compare_sentences(planted(np.random.default_rng(0), 0.4), 200, 0)
    assert len(rows) == 3
    for row in rows:
        assert row["n_sentences"] == N
        assert 0 < row["low"] < row["excess"] < row["high"]
        assert row["retrieved_low"] > 5 * row["chance"]
    assert excess.shape == (2, 3, 3) and (excess[:, 0, 1] > 0).all()
    assert (np.diag(retrieved) == 1).all()


def test_without_content_the_interval_holds_zero():
    rng = np.random.default_rng(1)
    rows = [row for _ in range(10) for row in compare_sentences(planted(rng, 0.0), 200, 0)[0]]
    assert np.mean([row["low"] < 0 < row["high"] for row in rows]) > 0.8


def test_documents_that_are_not_parallel_are_refused_and_missing_ones_counted():
    counts = planted(np.random.default_rng(2), 0.4)
    plain = ActivationCounts(counts["hi"].n_active, counts["hi"].n_tokens, 6)
    with pytest.raises(BabelscopeError, match="documents of hi are not parallel"):
        compare_sentences(counts | {"hi": plain}, 100, 0)
    few = counts["fr"]
    counts["fr"] = ActivationCounts(few.n_active[:50], few.n_tokens[:50], 6, unit=few.unit[:50])
    table = {row["language"]: row for row in translation_rows(counts)}
    assert (table["fr"]["n_missing"], table["en"]["n_missing"]) == (10, 0)
    assert {row["n_common"] for row in table.values()} == {50}


def test_paired_recordings_are_drawn_together_and_dealt_out_block_by_block():
    counts = align(list(planted(np.random.default_rng(3), 0.4).values()), CODES, 5, 100)
    draws = draw(counts, CODES, 50, 0)
    assert all((weights == draws.weights[0]).all() for weights in draws.weights)
    dealt = shuffle_languages(counts, 0)
    before = np.stack([count.n_active for count in counts])
    after = np.stack([count.n_active for count in dealt])
    assert (before.sum(axis=0) == after.sum(axis=0)).all() and (before != after).any()
    assert all(count.paired for count in dealt)
