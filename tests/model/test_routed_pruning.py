"""Mixtures of experts with fewer experts: masked and cut models compute the same, in every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.model.test_routers import LENGTHS, routed_model
from tests.tiny import make_corpus

from babelscope.model.families import FAMILIES, ROUTED_FAMILIES
from babelscope.pruning.routed import (
    expert_saliency,
    masked_routers,
    n_groups,
    remove_experts,
)
from babelscope.pruning.routed_choice import keep_equally
from babelscope.study.errors import BabelscopeError

IDS = torch.tensor([[1, 7, 30, 8, 55, 90, 12, 44, 61, 5]])


def random_keep(model, n_kept: int = 6) -> np.ndarray:
    scores = np.random.default_rng(0).random((len(model.routed), 8))
    return keep_equally(scores, n_kept, n_groups(model.routed[0]))


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model.module(input_ids=IDS).logits


@pytest.mark.parametrize("family", ROUTED_FAMILIES)
def test_pruned_equals_masked_and_loads_with_plain_from_pretrained(tmp_path: Path, family):
    from transformers import AutoModelForCausalLM

    model = routed_model(family)
    dense, keep = logits(model), random_keep(model)
    with masked_routers(model, keep):
        masked = logits(model)
    torch.testing.assert_close(logits(model), dense, rtol=0, atol=0)
    assert (masked - dense).abs().max() > 1e-3
    remove_experts(model, keep)
    torch.testing.assert_close(logits(model), masked, rtol=0, atol=1e-4)
    model.module.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(input_ids=IDS).logits, masked, rtol=0, atol=1e-4)
    assert all(layer.n_experts == 6 for layer in model.routed)


SHARING = [name for name in ROUTED_FAMILIES if FAMILIES[name].routing.shared]


@pytest.mark.parametrize("family", SHARING)
def test_shared_experts_are_where_the_table_says_and_stay_as_they_are(family):
    model = routed_model(family)
    path = FAMILIES[family].routing.shared
    shared = [model.blocks[layer.number].get_submodule(path) for layer in model.routed]
    before = [[parameter.clone() for parameter in module.parameters()] for module in shared]
    assert all(len(found) >= 2 for found in before)
    remove_experts(model, random_keep(model))
    for module, old in zip(shared, before, strict=True):
        for a, b in zip(module.parameters(), old, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "gpt_oss", "granitemoe"])
def test_masking_is_a_router_whose_other_logits_are_minus_infinity(family):
    model = routed_model(family)
    keep = random_keep(model)
    layer, gone = model.routed[0], torch.from_numpy(~keep[0])
    found = {}
    with masked_routers(model, keep):
        hook = layer.router.register_forward_hook(
            lambda _m, args, out: found.update(x=args[0].reshape(-1, 16), **layer.read(out))
        )
        logits(model)
        hook.remove()
    scores = found["x"] @ layer.router.weight.T + getattr(layer.router, "bias", 0.0)
    scores = scores.masked_fill(gone, -torch.inf)
    top = scores.topk(3, dim=1)
    assert torch.equal(found["choice"].sort(dim=1).values, top.indices.sort(dim=1).values)
    whole = family == "qwen2_moe"  # its weights are shares of all experts that are left
    weights = scores.softmax(1).gather(1, top.indices) if whole else top.values.softmax(1)
    torch.testing.assert_close(found["weights"], weights, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss", "deepseek_v3"])
def test_saliency_is_the_mean_weight_times_norm_of_an_experts_output(family):
    model, corpus = routed_model(family), make_corpus(LENGTHS)
    model.module.set_experts_implementation("eager")
    found = expert_saliency(model, corpus, np.arange(len(LENGTHS)))
    layer, seen = model.routed[1], []
    hook = layer.experts.register_forward_pre_hook(lambda _m, args: seen.append(args))
    for document in range(len(LENGTHS)):
        model.module(input_ids=torch.tensor([[1, *corpus.document(document).tolist()]]))
    hook.remove()
    sizes: dict[int, list[float]] = {e: [] for e in range(8)}
    for hidden, choice, weights in seen:
        for x, experts, own in zip(hidden[1:], choice[1:], weights[1:], strict=True):
            for expert, weight in zip(experts, own, strict=True):
                output = layer.experts(x[None], expert[None, None], torch.ones(1, 1))
                sizes[int(expert)].append(float(weight * output.norm()))
    expected = [np.mean(values) if values else 0.0 for values in sizes.values()]
    np.testing.assert_allclose(found[1], expected, rtol=1e-4)


def test_layers_with_different_numbers_of_experts_or_too_few_are_refused():
    model = routed_model("mixtral")
    keep = random_keep(model)
    keep[1, np.flatnonzero(keep[1])[0]] = False
    with pytest.raises(BabelscopeError, match=r"family mixtral: 3 layers would keep \[5, 6\] routed experts"):
        remove_experts(model, keep)
    with pytest.raises(BabelscopeError, match="at least the 3 that a router chooses"):
        remove_experts(model, random_keep(model, 2))


def test_routers_that_choose_groups_first_keep_as_many_of_each():
    model = routed_model("deepseek_v3")
    keep = np.zeros((len(model.routed), 8), dtype=bool)
    keep[:, :6] = True
    with pytest.raises(BabelscopeError, match=r"family deepseek_v3, layer 1: groups .* keep \[4, 2\]"):
        remove_experts(model, keep)


def test_ties_go_to_the_lower_expert_and_groups_are_served_alike():
    scores = np.array([[1.0, 3, 3, 3], [0, 0, 0, 0]])
    assert keep_equally(scores, 2).tolist() == [[False, True, True, False], [True, True, False, False]]
    assert keep_equally(scores, 2, 2).tolist() == [[False, True, True, False], [True, False, True, False]]
