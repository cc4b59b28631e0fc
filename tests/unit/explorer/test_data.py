"""The numbers that the page carries are those of the files."""

from __future__ import annotations

import base64

import numpy as np

from babelscope.explorer.data import control_ranges, group_contexts, leading_languages, pack
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.neurons import NeuronTotals, write_neurons


def test_packed_numbers_are_little_endian_in_order():
    packed = base64.b64decode(pack(np.array([[1.5, -2.0], [0.25, 0.0]]), "<f4"))
    assert np.frombuffer(packed, "<f4").tolist() == [1.5, -2.0, 0.25, 0.0]
    assert base64.b64decode(pack(np.array([1, 258]).T, "<u2")) == b"\x01\x00\x02\x01"


def test_ranges_of_a_control_are_quantiles_of_its_experts_in_each_language_and_layer():
    n_active = np.zeros((1, 2, 41), dtype=np.int64)
    n_active[0, 0], n_active[0, 1, 0] = np.arange(41), 80
    counts = ActivationCounts(n_active, np.array([100]), 9)
    ranges = control_ranges([counts, counts])
    assert ranges.shape == (2, 2, 3)
    np.testing.assert_allclose(ranges[1, 0], [0.01, 0.20, 0.39])
    np.testing.assert_allclose(ranges[0, 1], [0, 0, 0])


def test_the_leading_language_of_a_neuron_is_the_one_with_the_largest_share(tmp_path):
    shares = {"en": [10, 40, 0], "hi": [30, 20, 0], "ar": [20, 60, 0]}
    for code, positive in shares.items():
        totals = NeuronTotals.zeros(2, 1, 3)
        totals.n_positive[0, 0], totals.n_tokens[0] = positive, 100
        write_neurons(tmp_path / f"{code}.h5", totals, model="tiny", language=code, documents_sha256="d")
    paths = [str(tmp_path / f"{code}.h5") for code in shares]
    which, best, second = leading_languages(paths, "tiny", list(shares))[:, 0]
    assert which.tolist() == [1, 2, 0]
    assert best.tolist() == [round(255 * x) for x in (0.3, 0.6, 0)]
    assert second.tolist() == [round(255 * x) for x in (0.2, 0.4, 0)]


def test_contexts_are_grouped_by_unit_and_language_without_text_where_there_is_none():
    row = {"unit": "L0E1", "chosen": "en", "sample": "top", "score": 2.5, "document": "d", "position": 3}
    texts = {"token": "t", "left": "l", "right": "r"}
    other = row | {"sample": "random", "active": True}
    found = group_contexts({"en": [row | texts, other], "hi": [row]})
    assert found == {
        "L0E1": {
            "chosen": "en",
            "by": {
                "en": [[0, 2.5, "d", 3, "l", "t", "r"], [1, 2.5, "d", 3]],
                "hi": [[0, 2.5, "d", 3]],
            },
        }
    }
