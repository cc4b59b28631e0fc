"""Distillation of tiny random models: the loss falls, and what is kept is what is evaluated and exported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny import N_LAYERS, make_corpus, make_model, save_model

from babelscope.model.compute import Compute
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel, load_model
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.distil import DistilSettings, distil, distil_plan
from babelscope.pruning.export import export_both, load_exported
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.pruned_model import DISTILLED, PruningPlan, apply_plan, read_plan, write_distilled
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_of_each

CORPORA = [make_corpus([9, 7, 12, 5] * 8, n_heldout=2, seed=seed) for seed in (0, 1)]
N_FITTED, FAST = 40, DistilSettings(epochs=3, learning_rate=1e-3)
NOT = replace(FAST, epochs=0)
IDS = torch.tensor([[1, 5, 9, 30, 7, 11]])


def prepare(folder, family):
    return describe_model("tiny", save_model(folder, family), n_layers=N_LAYERS, origin="test")


def finished(info, compute):
    """Sixteen of 24 neurons of each layer, of one language after the other; columns are fitted to one."""
    model = load_model(info, compute)
    corpus, n_each = CORPORA[0], documents_of_each(N_FITTED, CORPORA)
    idx = [np.arange(n, n + 16) for n in range(N_LAYERS)]
    prune_and_compensate(model, corpus, corpus.profile_idx[:n_each], idx)
    keep = np.stack([np.isin(np.arange(24), row) for row in idx])
    return PruningPlan(keep, tuple(layer.down.weight for layer in model.layers))


def applied(info, compute, plan):
    model = load_model(info, compute)
    apply_plan(model.layers, plan)
    return model


@pytest.mark.parametrize("loss", ["hidden", "logits"])
def test_distillation_brings_a_pruned_model_closer_to_the_dense_one(loss):
    model, dense = (StudyModel(make_model("gemma3_text"), 64) for _ in range(2))
    corpus = CORPORA[0]
    attention = model.blocks[0].self_attn.q_proj.weight.clone()
    prune_and_compensate(model, corpus, corpus.profile_idx[:20], [np.arange(16)] * N_LAYERS)
    before = [layer.down.weight.clone() for layer in model.layers]
    told = []
    asked = (corpus.profile_idx[:25], corpus.profile_idx[25:], replace(FAST, loss=loss))
    losses = distil(model, dense, corpus, *asked, told.append)
    assert len(losses) == 4 and min(losses) < losses[0]
    assert sum(told) == 3 * np.diff(corpus.offsets)[corpus.profile_idx[:25]].sum()
    assert all(
        not bool((layer.down.weight == b).all()) for layer, b in zip(model.layers, before, strict=True)
    )
    assert bool((model.blocks[0].self_attn.q_proj.weight == attention).all())
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    evaluate_documents(model, corpus, corpus.heldout_idx)  # the model is as others take it


@pytest.mark.parametrize(
    ("family", "dtype"),
    [("gemma3_text", "float32"), ("phi3", "float32"), ("opt", "float32"), ("llama", "bfloat16")],
)
def test_what_is_validated_is_what_the_file_keeps_and_the_export_computes(tmp_path, family, dtype):
    info, compute = prepare(tmp_path / "dense", family), Compute(dtype, "cpu")
    plan = finished(info, compute)
    trained, losses = distil_plan(info, compute, CORPORA, plan, N_FITTED, FAST)
    assert len(losses) == 4 and min(losses) < losses[0]
    path = tmp_path / "both.safetensors"
    write_distilled(path, trained, losses, "tiny", "both", ["en", "fr"])
    back = read_plan(path, info, "both", DISTILLED)
    folders = tmp_path / "sliced", tmp_path / "padded"
    export_both(info, dtype, back, "both", ["en", "fr"], *folders)
    assert distil_plan(info, compute, CORPORA, back, N_FITTED, NOT)[1] == pytest.approx([min(losses)])
    model = applied(info, compute, trained)
    sliced, padded = (load_exported(folder, width_multiple=1) for folder in folders)
    assert sliced.dtype == padded.dtype == getattr(torch, dtype)
    for layer, exported in zip(model.layers, StudyModel(sliced).layers, strict=True):
        pairs = zip(layer.linears, exported.linears, strict=True)
        assert all(torch.equal(own.weight, other.weight) for own, other in pairs)
    if dtype == "float32":
        with torch.no_grad():
            expected, found = (m(input_ids=IDS).logits for m in (model.module, padded))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert all("distilled towards the dense" in (folder / "README.md").read_text() for folder in folders)
    again, _ = distil_plan(info, compute, CORPORA, plan, N_FITTED, FAST)
    assert all(torch.equal(a, b) for a, b in zip(again.up, trained.up, strict=True))


def test_a_gpu_that_is_too_small_is_said_with_what_helps(tmp_path, monkeypatch):
    info, compute = prepare(tmp_path / "dense", "llama"), Compute("float32", "cpu")
    plan = finished(info, compute)

    def step(*_args):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr("babelscope.pruning.distil._step", step)
    with pytest.raises(BabelscopeError, match="distil_epochs: the GPU's memory does not hold two models"):
        distil_plan(info, compute, CORPORA, plan, N_FITTED, FAST)


def test_steps_smaller_than_a_weight_of_eight_bits_are_not_lost(tmp_path):
    info, compute = prepare(tmp_path / "dense", "llama"), Compute("bfloat16", "cpu")
    plan = finished(info, compute)
    settings = DistilSettings(epochs=40, learning_rate=3e-5)
    trained, _ = distil_plan(info, compute, CORPORA, plan, N_FITTED, settings)
    pairs = zip(applied(info, compute, plan).layers, trained.up, strict=True)
    moved = np.mean([float((layer.up.weight != up).float().mean()) for layer, up in pairs])
    assert moved > 0.5


def test_the_weights_before_training_stay_where_training_makes_them_worse(tmp_path):
    info, compute = prepare(tmp_path / "dense", "llama"), Compute(device="cpu")
    plan = finished(info, compute)
    settings = DistilSettings(epochs=2, learning_rate=1.0)
    trained, losses = distil_plan(info, compute, CORPORA, plan, N_FITTED, settings)
    assert min(losses) == losses[0]
    for layer, up, down in zip(applied(info, compute, plan).layers, trained.up, trained.down, strict=True):
        assert torch.equal(layer.up.weight, up) and torch.equal(layer.down.weight, down)
