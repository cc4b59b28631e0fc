"""Containers that exist make sense: what does not fit together is refused."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.experts.partition import ExpertPartition
from babelscope.recording.counts import ActivationCounts, count_top_k
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import TokenizedCorpus, join_profiles


def corpus(**changes) -> TokenizedCorpus:
    """Three documents of 2, 1 and 3 tokens; the first is held out."""
    parts = {
        "token_ids": np.array([5, 6, 7, 8, 9, 10], dtype=np.int32),
        "offsets": np.array([0, 2, 3, 6]),
        "heldout": np.array([True, False, False]),
        "n_bytes": np.array([4, 1, 7], dtype=np.int32),
    }
    return TokenizedCorpus(**{**parts, **changes}, bos_token_id=1)


def test_documents_are_slices_of_the_tokens():
    documents = [corpus().document(idx).tolist() for idx in range(3)]
    assert documents == [[5, 6], [7], [8, 9, 10]]
    assert corpus().heldout_idx.tolist() == [0]
    assert corpus().profile_idx.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": np.array([0, 2, 3])}, "do not describe the same documents"),
        ({"n_bytes": np.array([4, 1], dtype=np.int32)}, "do not describe the same documents"),
        ({"offsets": np.array([0, 2, 3, 5])}, "do not cover the tokens"),
        ({"offsets": np.array([1, 2, 3, 6])}, "do not cover the tokens"),
        ({"offsets": np.array([0, 2, 2, 6])}, "without tokens"),
        ({"token_ids": np.array([5, 6, -7, 8, 9, 10], dtype=np.int32)}, "negative token id"),
    ],
)
def test_a_corpus_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(BabelscopeError, match=message):
        corpus(**changes)


def test_joined_profiles_hold_the_first_profile_documents_of_each_corpus():
    joined = join_profiles([corpus(), corpus(token_ids=np.arange(20, 26, dtype=np.int32))], 1)
    assert [joined.document(idx).tolist() for idx in range(2)] == [[7], [22]]
    assert joined.n_bytes.tolist() == [1, 1]
    assert not joined.heldout.any()
    assert joined.bos_token_id == 1
    assert len(join_profiles([corpus()], 99).heldout) == 2


def test_sizes_of_experts_differ_by_at_most_one():
    partition = ExpertPartition(np.array([[0, 1, 0, 1, 0], [1, 1, 0, 0, 1]], dtype=np.int32), 2)
    assert partition.n_layers == 2
    assert partition.sizes.tolist() == [[3, 2], [2, 3]]


@pytest.mark.parametrize(
    ("labels", "n_experts", "message"),
    [
        ([[0, 0, 0, 1]], 2, "experts of 1 to 3 neurons"),
        ([[0, 0, 1, 1], [0, 2, 1, 1]], 2, "outside 0 to 1"),
        ([[0, 0, 1, -1]], 2, "outside 0 to 1"),
        ([[0, 0, 1, 1]], 3, "not balanced"),
        ([[0, 1]], 3, "3 experts cannot be made of 2 neurons"),
        ([[0, 1]], 0, "0 experts cannot be made of 2 neurons"),
        ([0, 1], 2, r"shape \(2,\)"),
    ],
)
def test_a_partition_that_is_none_is_refused(labels, n_experts, message):
    with pytest.raises(BabelscopeError, match=message):
        ExpertPartition(np.array(labels, dtype=np.int32), n_experts)


def test_frequency_is_active_tokens_over_tokens_of_all_blocks():
    n_active = np.array([[[3, 1], [2, 0]], [[0, 1], [0, 1]]])
    counts = ActivationCounts(n_active, np.array([3, 1]), top_k=2)
    assert counts.frequency.tolist() == [[3 / 4, 2 / 4], [2 / 4, 1 / 4]]


def test_every_block_holds_top_k_experts_for_each_token():
    n_active = np.array([[[3, 1], [2, 0]], [[0, 1], [0, 1]]])
    with pytest.raises(BabelscopeError, match=r"blocks \[1\] do not hold top_k \(2\)"):
        ActivationCounts(n_active, np.array([3, 2]), top_k=2)
    with pytest.raises(BabelscopeError, match="for 1 blocks"):
        ActivationCounts(n_active, np.array([4]), top_k=2)
    with pytest.raises(BabelscopeError, match="no token"):
        _ = ActivationCounts(np.zeros((1, 1, 2), dtype=np.int64), np.array([0]), top_k=1).frequency


def test_top_k_is_the_papers_800_of_8192():
    assert count_top_k(0.09765625, 32, 256) == 800
    assert count_top_k(0.09765625, 18, 256) == 450
    assert count_top_k(1.0, 2, 8) == 16
    with pytest.raises(BabelscopeError, match=r"top_fraction 0\.001 makes 0 active experts of 16"):
        count_top_k(0.001, 2, 8)
