"""Exported checkpoints: what comes back says what was saved, in both forms, for every family."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tests.tiny import N_TOKENS, make_corpus, make_model, save_model

from babelscope.model.families import DENSE_FAMILIES
from babelscope.model.info import describe_model
from babelscope.model.layers import restored
from babelscope.model.load import StudyModel
from babelscope.pruning.compensation import LayerFit
from babelscope.pruning.export import export_pruned, load_exported
from babelscope.pruning.pruned_model import PruningPlan, apply_plan, read_plan, write_plan
from babelscope.responses.generate import choose_prompts, continue_prompts
from babelscope.study.errors import BabelscopeError

IDS = torch.tensor([[1, 5, 9, 30, 7, 11]])


def make_plan(model, corrected=True, seed=0):
    layers = StudyModel(model).layers
    rng = np.random.default_rng(seed)
    keep = rng.random((len(layers), layers[0].d_ff)) < 0.5
    keep[:, 0] = True
    down = tuple(
        torch.from_numpy(rng.normal(size=(layer.down.weight.shape[0], n)).astype(np.float32))
        for layer, n in zip(layers, keep.sum(axis=1), strict=True)
    )
    return PruningPlan(keep, down if corrected else ())


def masked_logits(model, plan):
    """The dense model with the other activations set to zero and the corrected columns in place."""
    layers = StudyModel(model).layers
    with restored(layers):
        for layer, row, columns in zip(layers, plan.keep, plan.down, strict=True):
            weight = torch.zeros_like(layer.down.weight)
            weight[:, torch.from_numpy(np.flatnonzero(row))] = columns
            layer.down.weight = torch.nn.Parameter(weight, requires_grad=False)
        return model(input_ids=IDS).logits


@pytest.mark.parametrize("family", sorted(DENSE_FAMILIES))
@pytest.mark.parametrize("padded", [False, True])
def test_masked_is_sliced_is_exported_and_reloaded(tmp_path, family, padded):
    source = save_model(tmp_path / "dense", family)
    model = make_model(family, vocab_size=N_TOKENS)
    plan = make_plan(model)
    expected = masked_logits(model, plan)
    folder = tmp_path / "export"
    if padded and family == "bloom":
        with pytest.raises(BabelscopeError, match="bloom: the width is fixed"):
            export_pruned(StudyModel(model), plan, source, folder, "# about", padded)
        return
    export_pruned(StudyModel(model), plan, source, folder, "# about", padded)
    torch.testing.assert_close(model(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
    if padded:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        found = AutoModelForCausalLM.from_pretrained(folder)
        here, there = (AutoTokenizer.from_pretrained(f) for f in (folder, source))
        assert there("word1").input_ids[0] != there.bos_token_id
        assert here("word1").input_ids == [there.bos_token_id, *there("word1").input_ids]
        assert {layer.d_ff for layer in StudyModel(found).layers} == {64}
    else:
        fast = load_exported(folder)
        assert {layer.d_ff for layer in StudyModel(fast).layers} == {64}
        torch.testing.assert_close(fast(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
        found = load_exported(folder, width_multiple=1)
        assert [layer.d_ff for layer in StudyModel(found).layers] == plan.keep.sum(axis=1).tolist()
    torch.testing.assert_close(found(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
    assert "parameters" in (folder / "README.md").read_text()


def test_a_folder_that_is_no_export_is_named(tmp_path):
    source = save_model(tmp_path / "dense", "llama")
    with pytest.raises(BabelscopeError, match="dense: no export of Babelscope"):
        load_exported(source)


@pytest.fixture
def stored(tmp_path):
    """A model's description, a plan of it in bfloat16, and the file that holds the plan."""
    info = describe_model("tiny", save_model(tmp_path / "m", "llama"), n_layers=3, origin="path")
    plan = make_plan(make_model("llama"))
    plan = PruningPlan(plan.keep, tuple(columns.bfloat16() for columns in plan.down))
    path = tmp_path / "en.safetensors"
    write_plan(path, plan, [LayerFit(0.1, 0.5)] * 3, "tiny", "en", ["en"], threshold=0.05)
    return info, plan, path


def test_a_plan_comes_back_from_its_file_in_the_models_own_type(stored):
    info, plan, path = stored
    back = read_plan(path, info, "en")
    np.testing.assert_array_equal(back.keep, plan.keep)
    assert len(back.down) == 3
    for found, expected in zip(back.down, plan.down, strict=True):
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, expected)


def test_the_file_of_a_pruned_model_is_as_its_contract_says(stored):
    _, plan, path = stored
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == {"keep", "down.0", "down.1", "down.2"}
        assert file.get_tensor("keep").dtype == torch.bool
        metadata = file.metadata()
    assert metadata["format"] == "babelscope/pruned"
    assert metadata["format_version"] == "2"
    assert metadata["model"] == "tiny"
    assert json.loads(metadata["languages"]) == ["en"]
    assert json.loads(metadata["parameters"]) == {"threshold": 0.05}
    assert path.stat().st_size < 4096 + plan.keep.size + sum(2 * columns.numel() for columns in plan.down)


def test_plain_removal_has_no_columns_in_its_file(stored):
    info, plan, path = stored
    write_plan(path, PruningPlan(plan.keep), [], "tiny", "en", ["en"])
    assert len(read_plan(path, info, "en").down) == 0


def test_a_plan_of_another_model_target_or_shape_is_refused(stored):
    info, _, path = stored
    with pytest.raises(BabelscopeError, match=r"target is 'en', need 'de'.*rule compensate"):
        read_plan(path, info, "de")
    with pytest.raises(BabelscopeError, match="model is 'tiny', need 'other'"):
        read_plan(path, replace(info, name="other"), "en")
    with pytest.raises(BabelscopeError, match=r"needs keep, bool \(3, 25\)"):
        read_plan(path, replace(info, d_ff=25), "en")
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(BabelscopeError, match=r"damaged or no safetensors file.*rule compensate"):
        read_plan(path, info, "en")
    with pytest.raises(BabelscopeError, match="no such file; rule compensate makes it"):
        read_plan(path.with_name("fr.safetensors"), info, "fr")


def test_an_interrupted_write_of_a_plan_leaves_nothing(stored, monkeypatch):
    _, plan, path = stored
    path.unlink()

    def stop(tensors, file, metadata):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("babelscope.pruning.pruned_model.save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        write_plan(path, plan, [], "tiny", "en", ["en"])
    assert not [file for file in path.parent.iterdir() if "en.safetensors" in file.name]


def test_columns_that_do_not_fit_are_refused():
    model = make_model("llama")
    plan = make_plan(model)
    with pytest.raises(BabelscopeError, match="corrected columns of"):
        PruningPlan(~plan.keep, plan.down)
    with pytest.raises(BabelscopeError, match=r"a plan for \(2, 24\)"):
        apply_plan(StudyModel(model).layers, PruningPlan(plan.keep[:2]))


def test_continuations_are_the_same_for_the_same_seed_and_greedy_for_none():
    model = make_model("llama")
    corpus = make_corpus([20, 3, 30, 9], n_heldout=4)
    chosen = choose_prompts(corpus, 3, 6)
    assert [(number, len(ids)) for number, ids in chosen] == [(0, 6), (2, 6), (3, 4)]
    prompts = [ids for _, ids in chosen]
    sampled = [continue_prompts(StudyModel(model), prompts, 1, 8, True, seed) for seed in (0, 0, 1)]
    assert sampled[0] == sampled[1] != sampled[2]
    greedy = continue_prompts(StudyModel(model), prompts, 1, 8, False, 0)
    ids = torch.tensor([[1, *prompts[0].tolist()]])
    assert greedy[0][0] == int(model(input_ids=ids).logits[0, -1].argmax())


def test_no_document_to_prompt_with_is_an_error():
    with pytest.raises(BabelscopeError, match="no held-out document of at least 8 tokens"):
        choose_prompts(make_corpus([5, 6], n_heldout=2), 2, 6)
