"""A tokenized corpus makes sense: what does not fit together is refused."""

from __future__ import annotations

import numpy as np
import pytest

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
