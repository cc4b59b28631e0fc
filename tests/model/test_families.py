"""Every family of the table: what is recorded, cut and corrected equals what is written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import FAMILY_CONFIGS, make_corpus, make_model, save_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.families import DENSE_FAMILIES, FAMILIES
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel
from babelscope.pruning import heldout
from babelscope.pruning import walk as walk_module
from babelscope.pruning.compensation import prune_and_compensate
from babelscope.pruning.cut import prune
from babelscope.pruning.heldout import evaluate_documents, token_losses
from babelscope.pruning.neuron_scores import output_norms
from babelscope.pruning.pruned_model import PruningPlan, apply_plan
from babelscope.pruning.walk import LayerWalk
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.study.errors import BabelscopeError

LENGTHS = [7, 3, 12, 5, 5, 9, 2, 20]
N_EXPERTS, TOP_K = 6, 4


def make_partition(layers, n_experts=N_EXPERTS, seed=3):
    rng = np.random.default_rng(seed)
    base = np.arange(layers[0].d_ff) % n_experts
    return ExpertPartition(np.stack([rng.permutation(base) for _ in layers]).astype(np.int32), n_experts)


def written_out(model, token_ids):
    """What enters each down projection: act(gate x) * up x or act(up x), in float64, for one document.

    The second result tells where gate x, or without a gate act(up x), is positive.
    """
    from transformers.activations import ACT2FN

    inputs = []
    hooks = [
        layer.up.register_forward_pre_hook(lambda _m, args: inputs.append(args[0])) for layer in model.layers
    ]
    model.module(input_ids=torch.tensor([token_ids]))
    for hook in hooks:
        hook.remove()
    config = model.module.config
    family = FAMILIES[config.model_type]
    act = ACT2FN[getattr(config, family.activation, "gelu_pytorch_tanh")]
    result, positive = [], []
    for layer, x in zip(model.layers, inputs, strict=True):
        x = x.double().reshape(len(token_ids), -1)

        def linear(module, x=x):
            y = x @ module.weight.double().T
            return y if module.bias is None else y + module.bias.double()

        up = linear(layer.up)
        if layer.fused_gate:
            gate, up = up.chunk(2, dim=1)
            result.append(act(gate) * up)
            positive.append(gate > 0)
        elif layer.gate is not None:
            result.append(act(linear(layer.gate)) * up)
            positive.append(linear(layer.gate) > 0)
        else:
            result.append(act(up))
            positive.append(result[-1] > 0)
    return (torch.stack(part, dim=1).numpy() for part in (result, positive))  # (token, layer, neuron)


def written_out_activations(model, token_ids):
    return next(written_out(model, token_ids))


def count_by_hand(model, corpus, idx, partition, top_k):
    """The definitions of the study as loops over documents, tokens, layers and experts."""
    n_active = np.zeros((len(model.layers), partition.n_experts), dtype=np.int64)
    for document in idx:
        token_ids = [corpus.bos_token_id, *corpus.document(int(document)).tolist()]
        for h in written_out_activations(model, token_ids)[1:]:
            cells = []
            for number, row in enumerate(h):
                scores = [row[partition.labels[number] == e].sum() for e in range(partition.n_experts)]
                mean, sd = np.mean(scores), np.std(scores)
                cells += [(-(s - mean) / sd if sd else 0.0, number, e) for e, s in enumerate(scores)]
            for _, number, e in sorted(cells)[:top_k]:
                n_active[number, e] += 1
    return n_active


@pytest.fixture(params=sorted(DENSE_FAMILIES))
def model(request):
    return StudyModel(make_model(request.param), 30)


def test_every_family_of_the_table_is_tested():
    assert set(FAMILY_CONFIGS) == set(DENSE_FAMILIES)


def test_recording_equals_a_written_out_forward_pass(model):
    corpus, partition = make_corpus(LENGTHS), make_partition(model.layers)
    idx = corpus.profile_idx
    expected = count_by_hand(model, corpus, idx, partition, TOP_K)
    settings = RecordingSettings(documents_per_block=3, documents_per_segment=6)
    variants = [Variant("main", partition, TOP_K)]
    found = record_activations(model, corpus, idx, variants, settings).counts["main"]
    np.testing.assert_array_equal(found.n_active.sum(axis=0), expected)
    assert found.n_tokens.tolist() == [7 + 3 + 12, 5 + 5 + 9, 2 + 20]
    assert (found.n_active.sum(axis=(1, 2)) == TOP_K * found.n_tokens).all()


def test_sums_of_neurons_equal_a_written_out_forward_pass(model):
    corpus, partition = make_corpus(LENGTHS), make_partition(model.layers)
    settings = RecordingSettings(documents_per_block=3, documents_per_segment=6)
    variants = [Variant("main", partition, TOP_K)]
    found = record_activations(model, corpus, corpus.profile_idx, variants, settings, neurons=True)
    done = found.neurons.finished()
    assert done.n_tokens.tolist() == [7 + 3 + 12, 5 + 5 + 9, 2 + 20]
    for block, documents in enumerate(([0, 1, 2], [3, 4, 5], [6, 7])):
        parts = [written_out(model, [1, *corpus.document(i).tolist()]) for i in documents]
        h, positive = (np.concatenate([rows[1:] for rows in kind]) for kind in zip(*parts, strict=True))
        np.testing.assert_array_equal(done.n_positive[block], positive.sum(axis=0))
        np.testing.assert_allclose(done.sum[block], h.sum(axis=0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(done.sum_of_squares[block], (h**2).sum(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(done.sum_of_magnitudes[block], np.abs(h).sum(axis=0), rtol=1e-4, atol=1e-5)


def test_slicing_is_masking_and_keeping_all_changes_no_bit(model):
    layers = model.layers
    ids = torch.tensor([[1, 5, 9, 30, 7]])
    dense = model.module(input_ids=ids).logits
    keep = np.random.default_rng(0).random((len(layers), layers[0].d_ff)) < 0.6
    keep[1] = True
    with model.restored():
        prune(layers, [np.arange(layers[0].d_ff)] * len(layers))
        assert torch.equal(model.module(input_ids=ids).logits, dense)
    hooks = [
        layer.down.register_forward_pre_hook(lambda _m, args, row=row: (args[0] * torch.from_numpy(row),))
        for layer, row in zip(layers, keep, strict=True)
    ]
    masked = model.module(input_ids=ids).logits
    for hook in hooks:
        hook.remove()
    with model.restored():
        apply_plan(layers, PruningPlan(keep))
        assert [layer.d_ff for layer in layers] == keep.sum(axis=1).tolist()
        torch.testing.assert_close(model.module(input_ids=ids).logits, masked, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(masked, dense, atol=1e-3)
    assert torch.equal(model.module(input_ids=ids).logits, dense)


def test_compensation_lowers_the_loss_of_the_documents_it_saw(model):
    layers = model.layers
    corpus = make_corpus([12] * 60)
    idx = [np.arange(0, layer.d_ff, 2) for layer in layers]

    def distance():
        ids = torch.from_numpy(corpus.token_ids[:120].astype(np.int64)).reshape(10, 12)
        return float((model.module(input_ids=ids).logits - dense).square().mean())

    ids = torch.from_numpy(corpus.token_ids[:120].astype(np.int64)).reshape(10, 12)
    dense = model.module(input_ids=ids).logits
    with model.restored():
        prune(layers, idx)
        plain = distance()
    with model.restored():
        fits = prune_and_compensate(model, corpus, corpus.profile_idx, idx)
        compensated = distance()
        assert [layer.d_ff for layer in layers] == [len(i) for i in idx]
    assert compensated < plain
    assert all(0 <= fit.unexplained < 1.2 for fit in fits if fit.unexplained is not None)
    assert torch.equal(model.module(input_ids=ids).logits, dense)


@pytest.mark.parametrize("n_kept", [0, 5, None])
def test_a_block_goes_on_from_its_first_pass_as_if_it_were_run_again(model, monkeypatch, n_kept):
    corpus, passed = make_corpus(LENGTHS), []
    idx = np.arange(model.layers[0].d_ff)[:n_kept] if n_kept is not None else None
    for room in (2**30, 0):
        monkeypatch.setattr(walk_module, "HOST_BYTES", room)
        with model.restored(), torch.inference_mode():
            walk = LayerWalk(model, corpus, np.arange(len(LENGTHS)))
            for number, layer in enumerate(model.layers):
                walk.look(lambda batch, activations: None)
                if room:  # attention is not run again, nor the feed-forward layer up to its last projection
                    assert {len(batch.first_pass.outputs) for batch in walk._batches} == {1}
                else:
                    assert all(batch.first_pass is None for batch in walk._batches)
                if idx is not None:
                    prune([layer], [idx])
                walk.step(idx)
                if number == 1:
                    passed.append(torch.cat([batch.hidden.flatten() for batch in walk._batches]))
    torch.testing.assert_close(*passed, rtol=1e-5, atol=1e-6)


def test_loss_is_that_of_the_whole_table_of_logits(model):
    corpus = make_corpus(LENGTHS)
    losses = evaluate_documents(model, corpus, np.arange(len(LENGTHS)))
    for number in range(len(LENGTHS)):
        ids = torch.tensor([[1, *corpus.document(number).tolist()]])
        expected = torch.nn.functional.cross_entropy(
            model.module(input_ids=ids).logits[0, :-1].double(), ids[0, 1:], reduction="sum"
        )
        assert losses.nll[number] == pytest.approx(float(expected), rel=1e-5)
    assert losses.n_predicted.tolist() == LENGTHS


def test_slices_of_the_vocabulary_add_up(monkeypatch):
    model = StudyModel(make_model("gemma2", final_logit_softcapping=5.0))
    hidden, targets = torch.randn(11, 16), torch.arange(11) * 8
    whole = token_losses(model, hidden, targets)
    monkeypatch.setattr("babelscope.pruning.heldout._VOCABULARY_SLICE", 7)
    monkeypatch.setattr("babelscope.pruning.heldout._AT_ONCE", 4)
    torch.testing.assert_close(token_losses(model, hidden, targets), whole)
    logits = model.head(hidden).div(5).tanh().mul(5)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(whole, expected)


def test_losses_of_a_model_under_several_changes_pass_the_output_layer_together(monkeypatch):
    model, corpus = StudyModel(make_model("llama")), make_corpus(LENGTHS)
    idx, passes = np.arange(len(LENGTHS)), []
    layer, found, expected = heldout.OutputLayer(model), [], []

    def seen(model, hidden, targets):
        passes.append(len(targets))
        return token_losses(model, hidden, targets)

    for rows in (idx, idx[:3]):
        expected.append(evaluate_documents(model, corpus, rows).nll)
        with monkeypatch.context() as patch:
            patch.setattr(heldout, "token_losses", seen)
            found.append(layer.read(corpus, rows).nll)
        prune(model.layers, [np.arange(9)] * 3)
    monkeypatch.setattr(heldout, "token_losses", seen)
    layer.finish()
    assert passes == [sum(LENGTHS) + sum(LENGTHS[:3])]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_output_norm_is_the_root_mean_square_of_what_a_neuron_says():
    model, corpus = StudyModel(make_model("llama"), 16), make_corpus([6, 4, 9])
    rows = np.concatenate(
        [written_out_activations(model, [1, *corpus.document(i).tolist()])[1:] for i in range(3)]
    )
    columns = np.stack([layer.down.weight.double().norm(dim=0).numpy() for layer in model.layers])
    expected = np.sqrt((rows**2).mean(axis=0)) * columns
    np.testing.assert_allclose(output_norms(model, corpus, np.arange(3)), expected, rtol=1e-4)


def test_unknown_family_names_the_modules_and_the_table(tmp_path):
    save_model(tmp_path / "m", "llama")
    config = tmp_path / "m" / "config.json"
    config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "novel"'))
    with pytest.raises(BabelscopeError, match=r"'novel'.*FAMILIES in .*families.py.*model.layers.0.mlp"):
        describe_model("m", tmp_path / "m", n_layers=3, origin="path")


def test_wrong_depth_names_both_numbers(tmp_path):
    save_model(tmp_path / "m", "llama")
    with pytest.raises(BabelscopeError, match=r"n_layers is 5, the weights .* have 3 layers"):
        describe_model("m", tmp_path / "m", n_layers=5, origin="path")
