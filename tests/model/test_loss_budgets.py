"""Errors in nats on a tiny model, against gradients taken another way, and what layers keep by them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.model.load import StudyModel
from babelscope.pruning import compensation, loss_budgets
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.loss_budgets import layer_costs, measure_costs, output_metrics
from babelscope.pruning.methods import METHODS
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
        torch.testing.assert_close(metric.T @ metric, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


@pytest.mark.parametrize("family", ["gemma2", "opt"])
@pytest.mark.parametrize("how", ["small batches", "blocks run again", "few tokens of output"])
def test_what_an_error_costs_is_the_same_where_memory_is_short(family, how, monkeypatch, caplog):
    model = model_of(family)
    expected, runs = output_metrics(model, CORPUS, EVERY, MomentSettings(True, True)), []
    if how == "small batches":

        def limit(_module, args, kwargs):
            hidden = args[0] if args else kwargs["hidden_states"]
            if hidden.shape[0] * hidden.shape[1] > 40:
                raise torch.OutOfMemoryError("no more")

        model.blocks[1].register_forward_pre_hook(limit, with_kwargs=True)
    elif how == "blocks run again":
        model.layers[2].down.register_forward_pre_hook(lambda *_: runs.append(1))
        monkeypatch.setattr(loss_budgets, "_kept_small", loss_budgets.run_again)
    else:
        monkeypatch.setattr(loss_budgets, "_TOKENS_OF_OUTPUT", 3)
    with caplog.at_level("INFO", logger="babelscope"):
        found = output_metrics(model, CORPUS, EVERY, MomentSettings(True, True))
    for metric, other in zip(found, expected, strict=True):
        torch.testing.assert_close(metric, other, rtol=1e-3, atol=1e-5 * float(other.max()))
    assert ("out of GPU memory: batches of" in caplog.text) == (how == "small batches")
    assert len(runs) == (4 if how == "blocks run again" else 0)  # two batches


@pytest.mark.parametrize(("n_free", "where"), [(2 * 3 * 8 * 16**2, "cpu"), (2 * 3 * 8 * 16**2 + 1, "cuda:0")])
def test_sums_stay_on_a_gpu_where_all_of_them_fit_twice(n_free, where, monkeypatch):
    monkeypatch.setattr(loss_budgets, "free_bytes", lambda _device: n_free)
    gpu, host = (SimpleNamespace(device=torch.device(name)) for name in ("cuda:0", "cpu"))
    layers = [SimpleNamespace(down=SimpleNamespace(weight=weight)) for weight in (gpu, gpu, gpu, host)]
    places = loss_budgets._places(SimpleNamespace(layers=layers), 16)
    assert [str(place) for place in places] == [where] * 3 + ["cpu"]


def test_costs_rise_along_every_layer_and_add_up_to_what_the_whole_layer_costs():
    model = model_of()
    settings = MomentSettings(True)
    metrics = output_metrics(model, CORPUS, EVERY, settings)
    costs = measure_costs(model, CORPUS, EVERY, settings, metrics)
    assert costs.shape == (3, 24) and (np.diff(costs, axis=1) >= 0).all() and (costs > 0).all()
    # without any neuron the error is all that the layer says: half the mean of its squared length
    ratio = costs.sum(axis=1) / np.array([total_cost(model, metrics)[number] for number in range(3)])
    # the elimination has a ridge, and columns that stay help with those that go
    assert ((ratio > 0.9) & (ratio < 1.5)).all(), ratio


def total_cost(model, metrics):
    """By layer, half the mean of |R y|^2 over the tokens, y being what the layer says."""
    said = [[] for _ in model.layers]
    hooks = [
        layer.down.register_forward_hook(lambda _m, _a, output, rows=rows: rows.append(output[0].double()))
        for layer, rows in zip(model.layers, said, strict=True)
    ]
    for number in EVERY:
        ids = [CORPUS.bos_token_id] if CORPUS.bos_token_id >= 0 else []
        model.hidden(np.array([[*ids, *CORPUS.document(number)]]))
    for hook in hooks:
        hook.remove()
    outputs = [torch.cat(rows) for rows in said]
    pairs = zip(outputs, metrics, strict=True)
    return [float((rows @ metric.T).square().sum() / len(rows) / 2) for rows, metric in pairs]


def test_a_layer_that_does_not_fit_on_the_gpu_is_eliminated_on_the_host(monkeypatch, caplog):
    model, settings = model_of(), MomentSettings(True)
    expected, whole, calls = layer_costs(model, CORPUS, EVERY, settings), loss_budgets.eliminate, []

    def full(*asked, **more):
        calls.append(1)
        if len(calls) <= 2:
            raise torch.OutOfMemoryError("no more")
        return whole(*asked, **more)

    monkeypatch.setattr(loss_budgets, "eliminate", full)
    with caplog.at_level("INFO", logger="babelscope"):
        found = layer_costs(model, CORPUS, EVERY, settings)
    np.testing.assert_allclose(found.costs, expected.costs, rtol=1e-6)
    assert "layer 0 is solved on the host" in caplog.text and len(calls) == 5
    assert compensation.solve_where_it_fits is loss_budgets.solve_where_it_fits


def test_the_layer_whose_errors_the_loss_feels_least_gives_most_neurons_up():
    model = model_of()
    with torch.no_grad():
        model.layers[1].down.weight *= 0.001
    before = [layer.down.weight.clone() for layer in model.layers]
    choose = METHODS["second_order_by_loss"].choice(model, CORPUS, EVERY, 0.5)
    assert all(torch.equal(layer.down.weight, own) for layer, own in zip(model.layers, before, strict=True))
    sizes = [len(fit.kept) for fit in prune_and_compensate(model, CORPUS, EVERY, choose)]
    assert sum(sizes) == round(0.5 * sum(own.shape[1] for own in before))
    assert sizes[1] == 1 and min(sizes[0], sizes[2]) >= 12


def test_costs_that_are_given_are_not_measured_again(monkeypatch):
    model = model_of()
    costs = layer_costs(model, CORPUS, EVERY, MomentSettings(True))
    monkeypatch.setattr(loss_budgets, "layer_costs", None)
    choose = METHODS["second_order_by_loss"].choice(model, CORPUS, EVERY[:6], 0.75, costs)
    sizes = [len(fit.kept) for fit in prune_and_compensate(model, CORPUS, EVERY[:6], choose)]
    assert sizes == costs.sizes(0.75).tolist()
