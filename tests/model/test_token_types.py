"""Counts by token and by position come out of the same pass, and add up to the counts of the language."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.model.test_recording import LENGTHS, record, variant
from tests.tiny import make_corpus, make_model

from babelscope.recording.token_types import POSITIONS, frequent_tokens


def test_tokens_and_positions_add_up_to_the_language():
    model, corpus, main = make_model("gemma3_text"), make_corpus(LENGTHS), variant()
    plain = record(model, corpus, [main])
    found = record(model, corpus, [main, variant("other", seed=1)], token_types=10)
    types, n = found.types, 11
    np.testing.assert_array_equal(found.counts["main"].n_active, plain.counts["main"].n_active)
    total = found.counts["main"].n_active.sum(axis=0)
    np.testing.assert_array_equal(types.n_active[:n].sum(axis=0), total)
    np.testing.assert_array_equal(types.n_active[n:].sum(axis=0), total)
    assert types.token_id[-1] == -1 and len(types.token_id) == n
    wanted = [(corpus.token_ids == token).sum() for token in types.token_id[:-1]]
    assert types.n_tokens[: n - 1].tolist() == wanted
    assert types.n_tokens[:n].sum() == types.n_tokens[n:].sum() == len(corpus.token_ids)
    lengths = np.array(LENGTHS)
    ends = [*POSITIONS[1:], 10**6]
    by_range = [
        np.clip(lengths - first, 0, end - first).sum() for first, end in zip(POSITIONS, ends, strict=True)
    ]
    assert types.n_tokens[n:].tolist() == by_range


def test_a_token_has_the_experts_that_documents_of_it_alone_would_have():
    model, main = make_model("gemma3_text"), variant()
    corpus = replace(make_corpus([1] * 12), token_ids=np.tile(np.int32([5, 9, 7]), 4))
    types = record(model, corpus, [main], token_types=2).types
    assert types.token_id.tolist() == [5, 7, -1]
    only = replace(make_corpus([1] * 4), token_ids=np.full(4, 7, dtype=np.int32))
    alone = record(model, only, [main]).counts["main"]
    np.testing.assert_array_equal(types.n_active[1], alone.n_active.sum(axis=0))


def test_batches_and_parallel_blocks_change_nothing():
    model, corpus, main = make_model("gemma3_text"), make_corpus(LENGTHS), variant()
    whole = record(model, corpus, [main], token_types=10)
    small = record(model, corpus, [main], tokens_per_batch=13, token_types=10, documents_per_block=1)
    np.testing.assert_array_equal(whole.types.n_active, small.types.n_active)
    by_document = small.counts["main"]
    assert len(by_document.n_tokens) == len(LENGTHS) and by_document.n_tokens.tolist() == LENGTHS


def test_the_most_frequent_tokens_are_kept_apart():
    corpus = replace(make_corpus([6]), token_ids=np.int32([8, 8, 3, 3, 9, 4]))
    assert frequent_tokens(corpus, corpus.profile_idx, 3).tolist() == [3, 4, 8, -1]
