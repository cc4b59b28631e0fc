"""A partition makes sense: what does not fit together is refused."""

from __future__ import annotations

import numpy as np
import pytest

from babelscope.experts.partition import ExpertPartition
from babelscope.study.errors import BabelscopeError


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
