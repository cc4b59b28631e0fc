"""Recording: whatever the batches, interruptions and partitions, the counts are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.load import StudyModel
from babelscope.recording.neurons import MOMENTS
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.study.errors import BabelscopeError

LENGTHS = [7, 3, 12, 5, 5, 9, 2, 20, 11, 4]


@pytest.fixture
def model():
    return make_model("gemma3_text")


@pytest.fixture
def corpus():
    return make_corpus(LENGTHS)


def variant(name="main", n_experts=6, seed=0, top_k=4, contiguous=False):
    base = np.arange(24) % n_experts
    rng = np.random.default_rng(seed)
    rows = [np.sort(base) if contiguous else rng.permutation(base) for _ in range(3)]
    return Variant(name, ExpertPartition(np.stack(rows).astype(np.int32), n_experts), top_k)


def record(
    module,
    corpus,
    variants,
    resume_file=None,
    on_progress=lambda n: None,
    tokens_per_batch=40,
    **settings,
):
    options = {"documents_per_block": 2, "documents_per_segment": 4} | settings
    idx = corpus.profile_idx
    return record_activations(
        StudyModel(module, tokens_per_batch),
        corpus,
        idx,
        variants,
        RecordingSettings(**options),
        resume_file=resume_file,
        save_seconds=0,  # after every batch
        on_progress=on_progress,
        neurons=True,
    )


def same(a, b):
    assert a.counts.keys() == b.counts.keys()
    for name in a.counts:
        np.testing.assert_array_equal(a.counts[name].n_active, b.counts[name].n_active)
        np.testing.assert_array_equal(a.counts[name].n_tokens, b.counts[name].n_tokens)
    np.testing.assert_array_equal(a.neurons.n_positive, b.neurons.n_positive)
    for name in MOMENTS:
        sums = (getattr(recording.neurons.finished(), name) for recording in (a, b))
        np.testing.assert_allclose(*sums, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens_per_batch", [1, 13, 1000])
def test_size_of_batches_and_padding_change_nothing(model, corpus, tokens_per_batch):
    same(
        record(model, corpus, [variant()]),
        record(model, corpus, [variant()], tokens_per_batch=tokens_per_batch),
    )


def test_partitions_recorded_together_equal_partitions_recorded_alone(model, corpus):
    several = [
        variant("a"),
        variant("b", n_experts=5, seed=1),
        variant("c", contiguous=True),
        Variant("d", variant("b", n_experts=5, seed=1).partition, 9),
    ]
    together = record(model, corpus, several)
    for one in several:
        alone = record(model, corpus, [one]).counts[one.name]
        np.testing.assert_array_equal(together.counts[one.name].n_active, alone.n_active)


def test_special_tokens_count_only_where_asked(model, corpus):
    without = record(model, corpus, [variant()]).counts["main"].n_tokens
    with_bos = record(model, corpus, [variant()], count_special_tokens=True).counts["main"].n_tokens
    assert (with_bos - without).tolist() == [2] * 5


def test_an_interrupted_job_goes_on_and_ends_with_the_same_counts(model, corpus, tmp_path):
    whole = record(model, corpus, [variant()])
    seen = []

    def interrupt(n_tokens):
        seen.append(n_tokens)
        if sum(seen) > sum(LENGTHS[:6]) + 6:
            raise KeyboardInterrupt

    resume = tmp_path / "resume.npz"
    with pytest.raises(KeyboardInterrupt):
        record(model, corpus, [variant()], resume, interrupt)
    assert resume.exists()
    passes = []
    hook = model.model.layers[0].register_forward_hook(lambda *_: passes.append(1))
    resumed = record(model, corpus, [variant()], resume)
    n_resumed = len(passes)
    record(model, corpus, [variant()])
    hook.remove()
    assert n_resumed < len(passes) - n_resumed
    same(resumed, whole)
    assert not resume.exists()


def test_counts_kept_for_other_inputs_are_not_used(model, corpus, tmp_path):
    resume = tmp_path / "resume.npz"

    def interrupt(_n):
        if resume.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(model, corpus, [variant()], resume, interrupt)
    other = variant(seed=9)
    same(record(model, corpus, [other], resume), record(model, corpus, [other]))


def test_model_is_as_it_was_after_an_exception(model, corpus):
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fail(_n):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        record(model, corpus, [variant()], on_progress=fail)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_output_layer_is_not_computed(model, corpus):
    calls = []
    model.get_output_embeddings().register_forward_hook(lambda *_: calls.append(1))
    record(model, corpus, [variant()])
    assert not calls


def poison(model, layer, token):
    """NaN in one layer for every document that holds a token."""
    seen = {}
    model.register_forward_pre_hook(lambda *_: None)
    model.model.embed_tokens.register_forward_pre_hook(lambda _m, args: seen.update(ids=args[0]))

    def spoil(_module, _args, output):
        return output.masked_fill((seen["ids"] == token).unsqueeze(-1), float("nan"))

    model.model.layers[layer].mlp.up_proj.register_forward_hook(spoil)


def test_nan_activations_stop_with_layer_and_document_or_are_skipped(corpus):
    token = int(corpus.document(4)[0])
    held = [i for i in range(len(LENGTHS)) if token in corpus.document(i)]
    model = make_model("gemma3_text")
    poison(model, 1, token)
    with pytest.raises(BabelscopeError, match=f"layer 1 for document {held[0]}"):
        record(model, corpus, [variant()])
    skipping = record(model, corpus, [variant()], on_nonfinite="skip")
    assert skipping.skipped_documents == held
    clean = make_model("gemma3_text")
    kept = [length for i, length in enumerate(LENGTHS) if i not in held]
    assert skipping.counts["main"].n_tokens.sum() == sum(kept)
    blockwise = record(clean, corpus, [variant()], documents_per_block=1).counts["main"]
    expected = np.delete(blockwise.n_active, held, axis=0).sum(axis=0)
    np.testing.assert_array_equal(skipping.counts["main"].n_active.sum(axis=0), expected)
    found, alone = skipping.neurons.finished(), make_corpus(LENGTHS)
    alone.heldout[held] = True
    done = record(clean, alone, [variant()]).neurons.finished()
    assert found.n_tokens.sum() == sum(kept)
    np.testing.assert_array_equal(found.n_positive.sum(axis=0), done.n_positive.sum(axis=0))
    np.testing.assert_allclose(found.mean_square, done.mean_square, rtol=1e-5)


def test_a_partition_of_another_model_is_refused(model, corpus):
    wrong = ExpertPartition(np.zeros((2, 24), dtype=np.int32) + np.arange(24, dtype=np.int32) % 6, 6)
    with pytest.raises(BabelscopeError, match="2 layers of 24 neurons, the model has 3 layers"):
        record(model, corpus, [Variant("main", wrong, 2)])


def test_segments_are_whole_blocks():
    with pytest.raises(BabelscopeError, match=r"documents_per_segment \(5\) must be a multiple"):
        RecordingSettings(documents_per_block=2, documents_per_segment=5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(corpus, dtype):
    exact = record(make_model("llama"), corpus, [variant()]).counts["main"].n_active
    half = record(make_model("llama").to(dtype), corpus, [variant()]).counts["main"].n_active
    assert half.sum() == exact.sum()
    assert np.abs(half - exact).sum() < 0.2 * exact.sum()
