"""Errors in nats on a tiny model, against gradients taken another way, and what layers keep by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.model.load import StudyModel
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.loss_budgets import choose_by_loss, output_metrics
from babelscope.pruning.moments import MomentSettings

CORPUS = make_corpus([9, 7, 12, 5] * 3)
EVERY = np.arange(12)


def model_of(family="llama"):
    return StudyModel(make_model(family))


def gradients(model, relative):
    """For each layer (n_tokens, d_model): by a perturbation that is added to what the layer says."""
    rows = [[] for _ in model.layers]
    bos = [CORPUS.bos_token_id] if CORPUS.bos_token_id >= 0 else []
    for number in EVERY:
        ids = torch.tensor([[*bos, *CORPUS.document(number).tolist()]])
        added = [
            torch.zeros((1, ids.shape[1], layer.down.weight.shape[0]), requires_grad=True)
            for layer in model.layers
        ]
        said = []

        def hook(_module, _args, output, said=said, added=added):
            said.append(output.detach()[0])
            return output + added[len(said) - 1]

        hooks = [layer.down.register_forward_hook(hook) for layer in model.layers]
        logs = model.module(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
        (-logs[torch.arange(len(logs)), ids[0, 1:]].sum()).backward()
        for one in hooks:
            one.remove()
        for found, extra, output in zip(rows, added, said, strict=True):
            scale = output.norm(dim=1, keepdim=True) if relative else 1.0
            found.append((extra.grad[0] * scale).double())
    return [torch.cat(found) for found in rows]


@pytest.mark.parametrize(("family", "relative"), [("llama", False), ("gemma3_text", True)])
def test_an_error_costs_the_mean_square_of_its_product_with_the_gradient(family, relative):
    model = model_of(family)
    metrics = output_metrics(model, CORPUS, EVERY, MomentSettings(True, relative))
    for metric, rows in zip(metrics, gradients(model, relative), strict=True):
        expected = rows.T @ rows / len(rows)
        expected += 0.01 * expected.diagonal().mean() * torch.eye(len(expected))
        torch.testing.assert_close(metric @ metric, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def test_the_layer_whose_errors_the_loss_feels_least_gives_most_neurons_up():
    model = model_of()
    with torch.no_grad():
        model.layers[1].down.weight *= 0.05
    before = [layer.down.weight.clone() for layer in model.layers]
    choose = choose_by_loss(model, CORPUS, EVERY, MomentSettings(True), 0.5)
    assert all(torch.equal(layer.down.weight, own) for layer, own in zip(model.layers, before, strict=True))
    fits = prune_and_compensate(model, CORPUS, EVERY, choose)
    sizes = [len(fit.kept) for fit in fits]
    assert sum(sizes) == round(0.5 * sum(own.shape[1] for own in before))
    assert sizes[1] == min(sizes) and sizes[1] < min(sizes[:1] + sizes[2:])
