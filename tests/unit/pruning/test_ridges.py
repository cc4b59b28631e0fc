"""The search for a layer's ridge finds what trying all of them finds, with fewer fits."""

from __future__ import annotations

import pytest

from babelscope.pruning.compensation import RIDGES, find_lowest


@pytest.mark.parametrize("start", range(len(RIDGES)))
@pytest.mark.parametrize("lowest", range(len(RIDGES)))
def test_the_search_finds_the_lowest_error_from_every_start(lowest, start):
    asked = []

    def error(idx):
        asked.append(idx)
        return 0.2 + 0.05 * abs(idx - lowest)

    assert find_lowest(error, start) == (lowest, 0.2)
    assert len(asked) == len(set(asked)), "a ridge was fitted twice"
    assert len(asked) <= abs(lowest - start) + 3


def test_of_equal_errors_the_start_is_kept():
    assert find_lowest(lambda idx: 1.0, 2) == (2, 1.0)
