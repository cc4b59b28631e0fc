"""Losses of several pruned models, layer by layer: those of each by itself, and the model stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.model.load import StudyModel
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.cut import count_parameters, prune
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.variants import (
    group_documents,
    losses_compensated,
    losses_without,
    waiting_bytes,
)

CORPUS = make_corpus([9, 7, 12, 5, 3] * 4, n_heldout=8)
HELDOUT, PROFILE = CORPUS.heldout_idx[:7], CORPUS.profile_idx
# all neurons, some of each layer, a layer without any
CUTS = [
    [np.arange(24)] * 3,
    [np.arange(5), np.arange(3, 20), np.arange(16)],
    [np.arange(24), np.arange(0), np.arange(9)],
]


def by_itself(model, change):
    with model.restored():
        change()
        return evaluate_documents(model, CORPUS, HELDOUT), count_parameters(model).ffn


def weights_of(model):
    return [(p, p.clone()) for layer in model.layers for linear in layer.linears for p in linear.parameters()]


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "opt", "phi3"])
def test_many_variants_have_the_losses_and_sizes_of_each_alone(family):
    model = StudyModel(make_model(family), 40)
    before = weights_of(model)
    found = losses_without(model, CORPUS, HELDOUT, CUTS)
    for (losses, size), cut in zip(found, CUTS, strict=True):
        expected, n_parameters = by_itself(model, lambda cut=cut: prune(model.layers, cut))
        np.testing.assert_allclose(losses.nll, expected.nll, rtol=1e-5)
        assert losses.n_bytes.tolist() == expected.n_bytes.tolist() and size == n_parameters
        assert losses.n_predicted.tolist() == expected.n_predicted.tolist()
    assert len({tuple(losses.nll) for losses, _ in found}) == 3
    losses, n_parameters = losses_compensated(model, CORPUS, HELDOUT, CUTS[1], PROFILE)
    expected, size = by_itself(model, lambda: prune_and_compensate(model, CORPUS, PROFILE, CUTS[1]))
    np.testing.assert_allclose(losses.nll, expected.nll, rtol=1e-5)
    assert n_parameters == size
    for (old, value), (now, _) in zip(before, weights_of(model), strict=True):
        assert old is now and torch.equal(old, value)


def test_where_memory_runs_out_batches_are_halved_and_losses_stay(caplog):
    model = StudyModel(make_model("llama"), 200)
    expected = losses_without(model, CORPUS, HELDOUT, CUTS)

    def limit(_module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        if hidden.shape[0] * hidden.shape[1] > 40:
            raise torch.OutOfMemoryError("no more")

    model.blocks[1].register_forward_pre_hook(limit, with_kwargs=True)
    with caplog.at_level("INFO", logger="babelscope"):
        found = losses_without(model, CORPUS, HELDOUT, CUTS)
    assert "out of GPU memory: batches of" in caplog.text
    for (one, _), (other, _) in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.nll, other.nll, rtol=1e-5)


def test_documents_wait_in_groups_of_bounded_size_and_losses_stay():
    model = StudyModel(make_model("llama"), 40)
    each = waiting_bytes(model, CORPUS, HELDOUT)
    limit = len(CUTS) * each.sum() / 3
    groups = group_documents(model, CORPUS, HELDOUT, len(CUTS), limit)
    assert len(groups) == 3 and np.concatenate(groups).tolist() == HELDOUT.tolist()
    sizes = [len(CUTS) * waiting_bytes(model, CORPUS, group).sum() for group in groups]
    assert max(sizes) <= limit + len(CUTS) * each.max()
    done = []
    found = losses_without(model, CORPUS, HELDOUT, CUTS, done.append, limit)
    assert sum(done) == pytest.approx(len(model.layers))
    for (one, size), (other, n) in zip(found, losses_without(model, CORPUS, HELDOUT, CUTS), strict=True):
        np.testing.assert_allclose(one.nll, other.nll, rtol=1e-5)
        assert (size, one.n_predicted.tolist()) == (n, other.n_predicted.tolist())
