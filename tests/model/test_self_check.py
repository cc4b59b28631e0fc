"""The self-check passes for every family, and fails where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.families import DENSE_FAMILIES, FAMILIES
from babelscope.model.info import ModelInfo
from babelscope.model.load import StudyModel
from babelscope.recording import check as self_check
from babelscope.recording.check import check_model, report_checks
from babelscope.recording.reference import reference_active, reference_z
from babelscope.study.errors import BabelscopeError


def check(module, family, **changes):
    model = StudyModel(module)
    d_ff, row = model.layers[0].d_ff, FAMILIES[family]
    activation = getattr(module.config, row.activation, row.activation)
    info = ModelInfo("tiny", "", "test", "", "", family, 3, 16, d_ff, activation, row.gated, 1)
    info = ModelInfo(**{**vars(info), **changes})
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(np.arange(d_ff) % 6) for _ in range(3)]).astype(np.int32)
    corpus = make_corpus([9, 4, 7, 12, 5], n_heldout=1)
    partition = ExpertPartition(labels, 6)
    return {c.name: c for c in check_model(model, info, corpus, partition, 4, 20)}


@pytest.mark.parametrize("family", DENSE_FAMILIES)
def test_every_family_passes(family):
    model = make_model(family)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    checks = check(model, family)
    assert all(c.passed for c in checks.values()), checks
    assert checks["active_experts"].value == 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_bfloat16_passes():
    checks = check(make_model("llama").to(torch.bfloat16), "llama")
    assert checks["activations"].passed and checks["ffn_output"].passed and checks["all_experts_kept"].passed


def test_another_activation_function_is_noticed():
    checks = check(make_model("llama"), "llama", activation="relu")
    assert not checks["activations"].passed
    with pytest.raises(BabelscopeError, match="model tiny: activations failed"):
        report_checks(list(checks.values()), "tiny", "float32", 20)


def test_a_changed_output_is_noticed():
    model = make_model("llama")
    model.model.layers[1].mlp.down_proj.register_forward_hook(lambda _m, _a, out: out * 1.01)
    assert not check(model, "llama")["ffn_output"].passed


def test_a_wrong_selection_is_noticed(monkeypatch):
    right = self_check.select_active
    monkeypatch.setattr(self_check, "select_active", lambda z, top_k: right(-z, top_k))
    checks = check(make_model("llama"), "llama")
    assert not checks["active_experts"].passed and not checks["distance_to_cut"].passed
    assert checks["z_scores"].passed


def test_wrong_scores_are_noticed(monkeypatch):
    rolled = property(lambda tap: [z.roll(1, 2) for z in tap._z])
    monkeypatch.setattr(self_check.ExpertTap, "z", rolled)
    assert not check(make_model("llama"), "llama")["z_scores"].passed


def test_reference_by_hand():
    activations = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 5.0, 0.0]])
    z = reference_z(activations, np.array([0, 1, 0, 1]), 2)  # scores 4 and 6; 10 and 0
    np.testing.assert_allclose(z, [[-1.0, 1.0], [1.0, -1.0]])
    np.testing.assert_array_equal(reference_z(np.ones((1, 4)) * 0.1, np.array([0, 0, 1, 1]), 2), [[0.0, 0.0]])
    ties = np.array([[0.5, 1.0, 0.5, 0.5]])
    assert reference_active(ties, 2).tolist() == [[True, True, False, False]]
