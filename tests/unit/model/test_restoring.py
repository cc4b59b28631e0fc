"""The dense layers come back to the last bit, and where a device has no room for two sets there is one."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from tests.tiny import make_model

from babelscope.model import load
from babelscope.model.layers import fits_twice, pad_neurons
from babelscope.model.load import StudyModel
from babelscope.pruning.cut import prune


@pytest.fixture(params=["llama", "opt", "phi3"])
def model(request, monkeypatch):
    """A model whose device has no room for a second set of feed-forward layers."""
    monkeypatch.setattr(load, "fits_twice", lambda layers: False)
    return StudyModel(make_model(request.param))


def parameters(model):
    return {name: value for name, value in model.module.named_parameters() if value is not None}


def cut(model):
    prune(model.layers, [np.arange(0, layer.d_ff, 2) for layer in model.layers])


def test_the_host_always_has_room_for_two():
    assert fits_twice(StudyModel(make_model("llama")).layers)


def test_while_a_model_is_cut_its_device_holds_no_dense_layer(model):
    dense = [weakref.ref(linear.weight) for layer in model.layers for linear in layer.linears]
    with model.restored():
        cut(model)
        assert [reference() for reference in dense] == [None] * len(dense)


def test_the_model_is_as_it_was_to_the_last_bit_however_often_it_is_cut(model):
    before = {name: value.clone() for name, value in parameters(model).items()}
    for _ in range(2):
        with pytest.raises(RuntimeError, match="stop"), model.restored():
            cut(model)
            pad_neurons(model.layers[0], 30)
            raise RuntimeError("stop")
        assert {layer.d_ff for layer in model.layers} == {24}
        assert all(torch.equal(before[name], value) for name, value in parameters(model).items())
        assert [linear.in_features for linear in model.layers[0].linears] == [
            linear.weight.shape[1] for linear in model.layers[0].linears
        ]


def test_what_is_not_cut_is_not_copied_back(model):
    before = {name: id(value) for name, value in parameters(model).items()}
    with model.restored():
        pass
    assert {name: id(value) for name, value in parameters(model).items()} == before


def test_a_model_that_was_changed_in_between_comes_back_as_it_was_left(model):
    with model.restored():
        cut(model)
    cut(model)
    before = {name: value.clone() for name, value in parameters(model).items()}
    with model.restored():
        cut(model)
    assert all(torch.equal(before[name], value) for name, value in parameters(model).items())


def test_a_model_restored_within_another_cut_goes_back_one_step_at_a_time(model):
    with model.restored():
        cut(model)
        with model.restored():
            cut(model)
        assert {layer.d_ff for layer in model.layers} == {12}
    assert {layer.d_ff for layer in model.layers} == {24}
