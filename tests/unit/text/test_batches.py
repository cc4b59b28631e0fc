"""Batches: every document once, little padding, nothing else changed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from tests.tiny import make_corpus

from babelscope.text.batches import BATCH_COST, make_batches


@pytest.mark.parametrize("bos", [1, -1])
@pytest.mark.parametrize("tokens_per_batch", [1, 50, 400, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_every_document_stands_in_one_batch_with_its_own_tokens(seed, tokens_per_batch, bos):
    lengths = np.random.default_rng(seed).integers(1, 200, 150).tolist()
    corpus = make_corpus(lengths, n_heldout=10, seed=seed, bos=bos)
    seen = []
    n_special = int(bos >= 0)
    for batch in make_batches(corpus, corpus.profile_idx, tokens_per_batch):
        seen += batch.document_idx.tolist()
        n_rows, length = batch.token_ids.shape
        assert n_rows == 1 or n_rows * length <= tokens_per_batch
        assert batch.n_special == n_special
        for row, idx, n_real in zip(batch.token_ids, batch.document_idx, batch.n_real, strict=True):
            assert row[n_special:n_real].tolist() == corpus.document(int(idx)).tolist()
            assert not row[n_real:].any()
            assert n_special == 0 or row[0] == bos
    assert sorted(seen) == corpus.profile_idx.tolist()


def test_no_other_way_to_cut_batches_costs_less():
    lengths = [30, 29, 29, 20, 19, 12, 11, 11, 5, 4]  # with the token before each
    corpus = make_corpus([length - 1 for length in lengths])
    found = list(make_batches(corpus, np.arange(10), 90))
    costs = []
    for cuts in product([False, True], repeat=9):
        rows = np.split(np.array(lengths), np.flatnonzero(cuts) + 1)
        if all(len(part) == 1 or len(part) * part[0] <= 90 for part in rows):
            costs.append(sum(len(part) * part[0] + BATCH_COST for part in rows))
    assert sum(batch.token_ids.size + BATCH_COST for batch in found) == min(costs)
    assert 1 < len(found) < 10


def test_longest_documents_come_first():
    batches = list(make_batches(make_corpus([3, 90, 10, 50]), np.arange(4), 1))
    assert [int(batch.document_idx[0]) for batch in batches] == [1, 3, 2, 0]


def test_only_the_documents_asked_for_are_there():
    corpus = make_corpus([4, 4, 4, 4])
    batches = list(make_batches(corpus, np.array([3, 1]), 100))
    assert [batch.document_idx.tolist() for batch in batches] == [[3, 1]]


def test_the_mask_leaves_out_padding_and_unless_asked_bos():
    (batch,) = make_batches(make_corpus([20, 19]), np.arange(2), 100)
    assert batch.token_ids.shape == (2, 21)
    assert batch.real_mask().sum(axis=1).tolist() == [20, 19]
    assert not batch.real_mask()[:, 0].any()
    assert batch.real_mask(count_special=True).sum(axis=1).tolist() == [21, 20]
    (batch,) = make_batches(make_corpus([20, 19], bos=-1), np.arange(2), 100)
    assert batch.real_mask().sum(axis=1).tolist() == [20, 19]
    assert batch.real_mask().all(axis=1).tolist() == [True, False]
