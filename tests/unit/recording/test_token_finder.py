"""Two ways to find the best tokens of a batch, one for each kind of device, find the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from babelscope.recording.peaks import LAST_DOCUMENT, make_key
from babelscope.recording.token_finder import Rows, find_by_maxima, find_in_tiles

LENGTHS = [9, 9, 7, 5, 9, 3, 8, 9, 6, 9]


def make_batch(signed=False, dtype=torch.float32, decimals=None, first=1, units=40):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(len(LENGTHS), 9, units, generator=generator)
    if decimals is not None:
        values = values.round(decimals=decimals)  # many equal ones
    position = torch.arange(9)
    counted = (position >= first) & (position < torch.tensor(LENGTHS)[:, None])
    return Rows(values.to(dtype), counted, torch.arange(100, 110), slice(first, min(LENGTHS)), signed)


def plain(batch, n_best):
    """Documents, positions and scores by a look at every value, (n_best, n_units); -1 where there is none."""
    values = batch.values.float().numpy()
    sizes = np.where(batch.counted[:, :, None], np.maximum(values, 0) if batch.signed else np.abs(values), 0)
    found = []
    for unit in range(values.shape[2]):
        best = sorted(
            (
                (-float(own[:, unit].max()), number)
                for number, own in enumerate(sizes)
                if own[:, unit].max() > 0
            )
        )[:n_best]
        rows = [(100 + n, int(sizes[n, :, unit].argmax()), n) for _, n in best]
        found.append({(d, p, float(values[n, p, unit])) for d, p, n in rows})
    return found


def as_sets(table):
    key, position, score = table.arrays()
    documents = np.where(key > 0, LAST_DOCUMENT - (key & LAST_DOCUMENT), -1)
    np.testing.assert_array_equal(key[key > 0], make_key(score, documents)[key > 0])
    return [
        {(int(d), int(p), float(s)) for d, p, s in zip(*columns, strict=True) if d >= 0}
        for columns in zip(documents.T, position.T, score.T, strict=True)
    ]


@pytest.mark.parametrize("find", [find_in_tiles, find_by_maxima])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "decimals"), [(torch.float32, None), (torch.bfloat16, None), (torch.float32, 0)]
)
def test_the_best_tokens_are_those_of_the_largest_values_the_first_of_equal_ones(
    find, signed, dtype, decimals
):
    batch = make_batch(signed, dtype, decimals)
    for n_best in (3, len(LENGTHS) + 2):
        assert as_sets(find(batch, n_best)) == plain(batch, n_best)


@pytest.mark.parametrize("find", [find_in_tiles, find_by_maxima])
def test_documents_of_special_tokens_alone_and_special_tokens_that_count_are_no_trouble(find):
    for first in (0, 1):
        batch = make_batch(first=first)
        batch.counted[3] = False
        short = Rows(batch.values, batch.counted, batch.document, slice(first, 0), False)
        assert as_sets(find(short, 4)) == plain(short, 4)
