"""A GPU that holds few tokens at a time: everything that runs the model goes on in smaller batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.model.load import StudyModel
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.heldout import evaluate_documents
from babelscope.pruning.neuron_scores import output_norms
from babelscope.responses.generate import continue_prompts
from babelscope.study.errors import BabelscopeError

LENGTHS = [12, 7, 7, 9, 3, 12, 5, 8, 8, 11] * 3
BUDGET = 400


def study_model(family="llama"):
    return StudyModel(make_model(family), BUDGET)


def hold(model, n_tokens, layer=1):
    """Let one block, and so the pass through the model, fail with more tokens than this at a time."""

    def limit(_module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        if hidden.shape[0] * hidden.shape[1] > n_tokens:
            raise torch.OutOfMemoryError("no more")

    return model.blocks[layer].register_forward_pre_hook(limit, with_kwargs=True)


@pytest.mark.parametrize("n_tokens", [13, 30, 50])
def test_held_out_losses_are_the_same_in_smaller_batches(caplog, n_tokens):
    model, corpus, seen = study_model(), make_corpus(LENGTHS), []
    idx = np.arange(len(LENGTHS))
    expected = evaluate_documents(model, corpus, idx)
    hold(model, n_tokens)
    with caplog.at_level("INFO", logger="babelscope"):
        found = evaluate_documents(model, corpus, idx, seen.append)
    np.testing.assert_allclose(found.nll, expected.nll, rtol=1e-5)
    assert "out of GPU memory: batches of 200 tokens from here on" in caplog.text
    assert sum(seen) == sum(LENGTHS) + len(LENGTHS)


def test_the_output_layer_goes_on_with_fewer_tokens_where_it_runs_out_of_memory(monkeypatch, caplog):
    from babelscope.pruning import heldout

    model, corpus, idx = study_model(), make_corpus(LENGTHS), np.arange(len(LENGTHS))
    expected, whole, seen = evaluate_documents(model, corpus, idx), heldout.token_losses, []

    def limited(model, hidden, targets):
        if len(targets) > 60:
            raise torch.OutOfMemoryError("no more")
        seen.append(len(targets))
        return whole(model, hidden, targets)

    monkeypatch.setattr(heldout, "token_losses", limited)
    with caplog.at_level("INFO", logger="babelscope"):
        found = evaluate_documents(model, corpus, idx)
    np.testing.assert_allclose(found.nll, expected.nll, rtol=1e-5)
    assert sum(seen) == sum(LENGTHS) and "batches of" in caplog.text


@pytest.mark.parametrize("n_tokens", [13, 50])
def test_norms_of_outputs_count_every_token_once_in_smaller_batches(n_tokens):
    model, corpus, idx = study_model(), make_corpus(LENGTHS), np.arange(len(LENGTHS))
    expected = output_norms(model, corpus, idx)
    hold(model, n_tokens, layer=2)  # the first two blocks have said theirs by then
    np.testing.assert_allclose(output_norms(model, corpus, idx), expected, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "bloom", "opt"])
@pytest.mark.parametrize("n_tokens", [13, 50])
def test_compensation_fits_the_same_columns_in_smaller_batches(family, n_tokens):
    columns = []
    for limited in (False, True):
        model, corpus, seen = study_model(family), make_corpus(LENGTHS), []
        if limited:
            hold(model, n_tokens)
        idx = [np.arange(0, layer.d_ff, 2) for layer in model.layers]
        prune_and_compensate(model, corpus, corpus.profile_idx, idx, seen.append)
        columns.append([layer.down.weight for layer in model.layers])
        assert sum(seen) == 3 * sum(LENGTHS)
    for found, expected in zip(*columns, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_what_a_walk_keeps_makes_room_before_batches_are_halved(monkeypatch, caplog):
    from babelscope.pruning import walk

    model, corpus = study_model(), make_corpus(LENGTHS)
    keeps = walk.LayerWalk(model, corpus, corpus.profile_idx)
    keeps.look(lambda batch, activations: None)
    assert all(batch.first_pass is not None for batch in keeps._batches)

    def full(*_args):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(walk, "run_from_down", full)
    with caplog.at_level("INFO", logger="babelscope"), torch.inference_mode():
        keeps.step()
    assert all(batch.first_pass is None for batch in keeps._batches)
    assert "batches of" not in caplog.text


@pytest.mark.parametrize("failures", [1, 2])
def test_moments_that_do_not_fit_beside_what_is_kept_or_at_all_are_solved(monkeypatch, caplog, failures):
    from babelscope.pruning import compensation

    model, corpus = study_model(), make_corpus(LENGTHS)
    correct, calls = compensation.correct_columns, []

    def full(*moments_and_ridge):
        calls.append(1)
        if len(calls) <= failures:
            raise torch.OutOfMemoryError("no more")
        return correct(*moments_and_ridge)

    monkeypatch.setattr(compensation, "correct_columns", full)
    idx = [np.arange(0, layer.d_ff, 2) for layer in model.layers]
    with caplog.at_level("INFO", logger="babelscope"):
        fits = prune_and_compensate(model, corpus, corpus.profile_idx, idx)
    assert len(fits) == 3
    assert len(calls) == 3 + failures
    assert ("layer 0 is solved on the host" in caplog.text) == (failures == 2)


@pytest.mark.parametrize("what", ["losses", "norms", "compensation", "responses"])
def test_one_document_that_does_not_fit_is_an_error_that_says_what_to_do(what):
    model, corpus, idx = study_model(), make_corpus(LENGTHS), np.arange(len(LENGTHS))
    run = {
        "losses": lambda: evaluate_documents(model, corpus, idx),
        "norms": lambda: output_norms(model, corpus, idx),
        "compensation": lambda: prune_and_compensate(model, corpus, idx, [np.arange(12)] * 3),
        "responses": lambda: continue_prompts(model, [np.arange(3, 11)], 1, 4, False, 0),
    }[what]
    hold(model, 5)
    with pytest.raises(BabelscopeError, match=r"one document of 1[23] tokens at a time.*device_map: auto"):
        run()
