"""Scores of several partitions out of one product equal those that are gathered."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from babelscope.recording.layer_scores import LayerScorer
from babelscope.recording.scores import ExpertLayout


@pytest.mark.parametrize("in_order_of_the_first", [True, False])
def test_one_product_gives_what_gathers_give_also_where_sizes_differ(in_order_of_the_first):
    rng = np.random.default_rng(0)
    n_experts = [4, 5, 3]  # of 14 neurons: ragged, ragged, ragged
    layouts = [ExpertLayout.from_labels(rng.permutation(np.arange(14) % n), n) for n in n_experts]
    values = torch.from_numpy(rng.normal(size=(6, 14))).float()
    down = torch.from_numpy(rng.normal(size=(8, 14))).float()
    places = [layout.order for layout in layouts]
    if in_order_of_the_first:
        back = torch.argsort(layouts[0].order)
        values, down = values[:, layouts[0].order], down[:, layouts[0].order]
        places = [None, *(back[layout.order] for layout in layouts[1:])]
    for scores in (["signed", "signed", "signed"], ["signed", "output_norm", "signed"], ["absolute"] * 3):
        ways = [LayerScorer(layouts, scores, places, down, by_product=how) for how in (True, False)]
        for product, gathered in zip(*(way.each(values) for way in ways), strict=True):
            torch.testing.assert_close(product, gathered, rtol=1e-5, atol=1e-5)
