"""Sizes of layers out of what their neurons cost, and the file that holds these costs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from babelscope.pruning.layer_costs import LayerCosts, Reference, read_layer_costs, write_layer_costs
from babelscope.study.errors import BabelscopeError

INFO = SimpleNamespace(name="tiny", n_layers=3, d_ff=128)
ASKED = Reference(["en", "hi"], 60, "second_order_by_loss")


def rising(*scales):
    return LayerCosts(np.outer(scales, np.arange(1.0, 129.0)))


def test_the_last_neuron_to_go_costs_every_layer_the_same():
    costs = rising(1.0, 2.0, 4.0)
    sizes = costs.sizes(0.5)
    assert sizes.sum() == 192 and sizes[0] < sizes[1] < sizes[2]
    removed = 128 - sizes
    last = [row[n - 1] for row, n in zip(costs.costs, removed, strict=True)]
    assert max(last) <= min(row[n] for row, n in zip(costs.costs, removed, strict=True))


def test_no_layer_loses_all_its_neurons():
    assert rising(1e-9, 1.0, 1.0).sizes(0.5).tolist() == [2, 95, 95]  # a 64th of 128
    assert rising(0.0, 0.0, 0.0).sizes(0.001).tolist() == [1, 1, 1]
    assert rising(1e-9, 1.0, 1.0).sizes(1.0).tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("costs", "message"),
    [(np.zeros(4), r"shape \(4,\)"), (np.array([[1.0, 2.0], [2.0, 1.0]]), "do not rise")],
)
def test_costs_of_another_shape_or_that_fall_are_refused(costs, message):
    with pytest.raises(BabelscopeError, match=message):
        LayerCosts(costs)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "layer_costs.h5"
    write_layer_costs(path, rising(1.0, 2.0, 3.0), "tiny", ASKED, documents_sha256="0a")
    return path


def test_costs_are_read_as_they_were_written(file):
    for asked in (ASKED, None):
        np.testing.assert_array_equal(read_layer_costs(file, INFO, asked).costs, rising(1.0, 2.0, 3.0).costs)


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ({"languages": ["en", "fr"]}, r"languages = \['en', 'hi'\], this run has \['en', 'fr'\]"),
        ({"n_documents": 30}, "n_documents = 60, this run has 30"),
        ({"method": "another"}, "method = 'second_order_by_loss', this run has 'another'"),
    ],
)
def test_costs_that_were_measured_otherwise_are_refused(file, change, made):
    with pytest.raises(BabelscopeError, match=f"{made}; delete it and run again: rule measure_layer_costs"):
        read_layer_costs(file, INFO, replace(ASKED, **change))


def test_costs_of_another_model_or_of_other_layers_are_refused(file):
    for wrong, message in (
        ({"name": "other"}, "model = 'tiny', this run has 'other'"),
        ({"d_ff": 64}, "3 layers of 128 neurons, the model has 3 of 64"),
    ):
        info = SimpleNamespace(**(vars(INFO) | wrong))
        with pytest.raises(BabelscopeError, match=f"{message}.*rule measure_layer_costs"):
            read_layer_costs(file, info, ASKED)
