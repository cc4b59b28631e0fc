"""Own experts on the same sentences: how hard a sentence is cancels."""

import numpy as np
import pytest

from babelscope.pruning.paired_matrix import EVERY, paired_rows
from babelscope.study.errors import BabelscopeError

CODES = ("en", "hi")


def results(rng, advantage, n=80):
    """Losses with a large part of the sentence, one of the language, and a gain under own experts."""
    content = rng.normal(40, 15, n)
    found, units = {}, {}
    for code in CODES:
        order = rng.permutation(n)
        cells = [
            {
                "selection": "same_size",
                "experts_of": other,
                "nll": (content + rng.normal(0, 0.5, n) + (0 if other == code else advantage))[
                    order
                ].tolist(),
            }
            for other in CODES
        ]
        dense = {"selection": "dense", "experts_of": "", "nll": content[order].tolist()}
        found[code], units[code] = {"cells": [dense, *cells]}, np.arange(n)[order]
    return found, units


def test_the_advantage_of_own_experts_is_found_whatever_the_sentences_cost():
    pair, every = paired_rows(*results(np.random.default_rng(0), 0.8))
    assert (pair["language_a"], pair["language_b"], pair["n_sentences"]) == ("en", "hi", 80)
    assert pair["low"] < 0.8 < pair["high"] and pair["low"] > 0.5
    assert every["language_a"] == EVERY and every["advantage"] == pytest.approx(pair["advantage"])


def test_without_advantage_the_interval_holds_zero_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    pairs = [paired_rows(*results(rng, 0.0))[0] for _ in range(100)]
    assert 0.88 <= np.mean([pair["low"] < 0 < pair["high"] for pair in pairs]) <= 1


def test_languages_without_sentences_in_common_are_refused():
    found, units = results(np.random.default_rng(2), 0.0)
    with pytest.raises(BabelscopeError, match="0 held-out sentences are in all of en, hi"):
        paired_rows(found, {"en": units["en"], "hi": units["hi"] + 1000})
