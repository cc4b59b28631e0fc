"""Exported checkpoints: what comes back says what was saved, in both forms, for every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import N_TOKENS, make_corpus, make_model, save_model

from babelscope.model.families import FAMILIES
from babelscope.model.load import find_ffn_layers
from babelscope.pruning.cut import restored
from babelscope.pruning.export import export_pruned, load_exported
from babelscope.pruning.pruned_model import PruningPlan, apply_plan, read_plan, write_plan
from babelscope.responses.generate import choose_prompts, continue_prompts
from babelscope.study.errors import BabelscopeError

IDS = torch.tensor([[1, 5, 9, 30, 7, 11]])


def make_plan(model, corrected=True, seed=0):
    layers = find_ffn_layers(model)
    rng = np.random.default_rng(seed)
    keep = rng.random((len(layers), layers[0].d_ff)) < 0.5
    keep[:, 0] = True
    down = tuple(
        rng.normal(size=(layer.down.weight.shape[0], n)).astype(np.float32)
        for layer, n in zip(layers, keep.sum(axis=1), strict=True)
    )
    return PruningPlan(keep, down if corrected else ())


def masked_logits(model, plan):
    """The dense model with the other activations set to zero and the corrected columns in place."""
    layers = find_ffn_layers(model)
    with restored(layers):
        for layer, row, columns in zip(layers, plan.keep, plan.down, strict=True):
            weight = torch.zeros_like(layer.down.weight)
            weight[:, torch.from_numpy(np.flatnonzero(row))] = torch.from_numpy(columns)
            layer.down.weight = torch.nn.Parameter(weight, requires_grad=False)
        return model(input_ids=IDS).logits


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("padded", [False, True])
def test_masked_is_sliced_is_exported_and_reloaded(tmp_path, family, padded):
    source = save_model(tmp_path / "dense", family)
    model = make_model(family, vocab_size=N_TOKENS)
    plan = make_plan(model)
    expected = masked_logits(model, plan)
    folder = tmp_path / "export"
    if padded and family == "bloom":
        with pytest.raises(BabelscopeError, match="bloom: the width is fixed"):
            export_pruned(model, plan, source, folder, "# about", padded)
        return
    export_pruned(model, plan, source, folder, "# about", padded)
    torch.testing.assert_close(model(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
    if padded:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        found = AutoModelForCausalLM.from_pretrained(folder)
        here, there = (AutoTokenizer.from_pretrained(f)("word1").input_ids for f in (folder, source))
        assert here == there
        assert {layer.d_ff for layer in find_ffn_layers(found)} == {64}
    else:
        fast = load_exported(folder)
        assert {layer.d_ff for layer in find_ffn_layers(fast)} == {64}
        torch.testing.assert_close(fast(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
        found = load_exported(folder, width_multiple=1)
        assert [layer.d_ff for layer in find_ffn_layers(found)] == plan.keep.sum(axis=1).tolist()
    torch.testing.assert_close(found(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
    assert "parameters" in (folder / "README.md").read_text()


def test_a_folder_that_is_no_export_is_named(tmp_path):
    source = save_model(tmp_path / "dense", "llama")
    with pytest.raises(BabelscopeError, match="dense: no export of Babelscope"):
        load_exported(source)


def test_a_plan_comes_back_from_its_file(tmp_path):
    from babelscope.model.info import describe_model
    from babelscope.pruning.compensation import LayerFit

    info = describe_model("tiny", save_model(tmp_path / "m", "llama"), n_layers=3, origin="path")
    plan = make_plan(make_model("llama"))
    write_plan(tmp_path / "p.h5", plan, [LayerFit(0.1, 0.5)] * 3, "tiny", "en", threshold=0.05)
    back = read_plan(tmp_path / "p.h5", info)
    np.testing.assert_array_equal(back.keep, plan.keep)
    for a, b in zip(back.down, plan.down, strict=True):
        np.testing.assert_array_equal(a, b)


def test_columns_that_do_not_fit_are_refused():
    model = make_model("llama")
    plan = make_plan(model)
    with pytest.raises(BabelscopeError, match="corrected columns of"):
        PruningPlan(~plan.keep, plan.down)
    with pytest.raises(BabelscopeError, match=r"a plan for \(2, 24\)"):
        apply_plan(find_ffn_layers(model), PruningPlan(plan.keep[:2]))


def test_continuations_are_the_same_for_the_same_seed_and_greedy_for_none():
    model = make_model("llama")
    corpus = make_corpus([20, 3, 30, 9], n_heldout=4)
    chosen = choose_prompts(corpus, 3, 6)
    assert [(number, len(ids)) for number, ids in chosen] == [(0, 6), (2, 6), (3, 4)]
    prompts = [ids for _, ids in chosen]
    sampled = [continue_prompts(model, prompts, 1, 8, True, seed) for seed in (0, 0, 1)]
    assert sampled[0] == sampled[1] != sampled[2]
    greedy = continue_prompts(model, prompts, 1, 8, False, 0)
    ids = torch.tensor([[1, *prompts[0].tolist()]])
    assert greedy[0][0] == int(model(input_ids=ids).logits[0, -1].argmax())


def test_no_document_to_prompt_with_is_an_error():
    with pytest.raises(BabelscopeError, match="no held-out document of at least 8 tokens"):
        choose_prompts(make_corpus([5, 6], n_heldout=2), 2, 6)
