"""Packed weights on the CPU: the same products, of the weights that a layer has at the time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model
from torch import nn

from babelscope.model import packed
from babelscope.model.load import StudyModel
from babelscope.pruning.cut import prune
from babelscope.pruning.heldout import evaluate_documents


def packed_model(family, monkeypatch, made):
    monkeypatch.setattr(packed, "_LEAST_TOKENS", 1)
    pack = packed._pack
    monkeypatch.setattr(packed, "_pack", lambda weight: made.append(weight.shape) or pack(weight))
    module = make_model(family)
    packed.pack_layers(module)
    return StudyModel(module, 64)


@pytest.mark.skipif(not packed._can_pack(), reason="torch has no oneDNN here")
@pytest.mark.parametrize("family", ["gemma3_text", "phi3", "opt"])
def test_a_model_with_packed_layers_is_the_same_model_before_and_after_a_cut(family, monkeypatch):
    made: list = []
    corpus, idx = make_corpus([9, 7, 12, 5]), np.arange(4)
    plain, model = StudyModel(make_model(family), 64), packed_model(family, monkeypatch, made)
    dense = evaluate_documents(plain, corpus, idx).nll
    np.testing.assert_allclose(evaluate_documents(model, corpus, idx).nll, dense, rtol=1e-5)
    n_dense = len(made)
    assert n_dense > 3 * len(model.layers)
    evaluate_documents(model, corpus, idx)
    n_head = len(made) - n_dense  # packed for each call; layers are not packed twice
    assert n_head < n_dense / 2
    kept = [np.arange(0, layer.d_ff, 3) for layer in model.layers]
    for changed in (plain, model):
        with changed.restored():
            prune(changed.layers, kept)
            cut = evaluate_documents(changed, corpus, idx).nll
        if changed is plain:
            expected = cut
    np.testing.assert_allclose(cut, expected, rtol=1e-5)
    assert not np.allclose(cut, dense, rtol=1e-3)
    np.testing.assert_allclose(evaluate_documents(model, corpus, idx).nll, dense, rtol=1e-5)


def test_what_cannot_be_packed_is_multiplied_as_ever(monkeypatch):
    monkeypatch.setattr(packed, "_LEAST_TOKENS", 1)
    linear = nn.Linear(4, 3).requires_grad_(False)
    forward = packed._Packed(linear)
    for hidden in (torch.randn(20, 4), torch.randn(0, 4), torch.randn(2, 20, 4, requires_grad=True)):
        torch.testing.assert_close(forward(hidden), nn.functional.linear(hidden, linear.weight, linear.bias))
    half = nn.Linear(4, 3, dtype=torch.bfloat16).requires_grad_(False)
    assert packed._Packed(half)(torch.randn(20, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    empty = nn.Linear(4, 3, bias=False).requires_grad_(False)
    empty.weight = nn.Parameter(torch.zeros(3, 0), requires_grad=False)
    assert packed._Packed(empty)(torch.zeros(20, 0)).tolist() == [[0.0] * 3] * 20
    monkeypatch.setattr(packed, "_can_pack", lambda: False)
    module = make_model("llama")
    packed.pack_layers(module)
    assert not any("forward" in part.__dict__ for part in module.modules())


def test_a_model_too_big_for_a_second_copy_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(packed, "_MOST_BYTES", 10)
    module = make_model("llama")
    packed.pack_layers(module)
    assert not any("forward" in part.__dict__ for part in module.modules())
