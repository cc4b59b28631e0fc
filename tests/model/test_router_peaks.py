"""Best tokens of routed experts: what a look at every token's router finds, in whatever parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.model.test_routers import choose, partition_of, routed_model
from tests.tiny import make_corpus

from babelscope.recording.peaks import PEAK_SHARD, PEAKS, read_peaks, write_peaks
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.recording.shard_names import shard_names
from babelscope.recording.shards import ShardedLanguage, shard_documents
from babelscope.text.tokens import documents_digest

LENGTHS = [7, 3, 12, 5, 5, 9, 2, 20, 11, 4, 6, 8]
N_BEST, N_RANDOM, PER_SHARD = 3, 5, 4
SAID = {"model": "tiny", "language": "en"}


def record(model, corpus, idx=None, **options):
    partition = partition_of(model)
    settings = RecordingSettings(2, 4, best_tokens=N_BEST, random_tokens=N_RANDOM)
    idx = np.arange(len(LENGTHS)) if idx is None else idx
    variants = [Variant("main", partition, partition.top_k)]
    return record_activations(model, corpus, idx, variants, settings, peaks=True, **options).peaks


def weights_of(model, corpus):
    """By document: weight of every expert at every token, float64 (token, layer, expert); -1: not chosen."""
    found, inputs = [], []
    hooks = [
        layer.router.register_forward_pre_hook(lambda _m, args: inputs.append(args[0]))
        for layer in model.routed
    ]
    for document in range(len(LENGTHS)):
        inputs.clear()
        ids = [corpus.bos_token_id, *corpus.document(document).tolist()]
        model.hidden(torch.tensor([ids]))
        own = np.full((len(ids), len(model.blocks), partition_of(model).n_experts), -1.0)
        for layer, x in zip(model.routed, inputs, strict=True):
            for number, token in enumerate(x.reshape(len(ids), -1)):
                chosen, weights, _ = choose(model.module.config, layer.router, token)
                own[number, layer.number, chosen] = weights.double().numpy()
        found.append(own[1:])
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("family", ["olmoe", "qwen2_moe", "glm4_moe"])
def test_best_tokens_of_routed_experts_are_those_of_the_largest_weights(family):
    model, corpus = routed_model(family), make_corpus(LENGTHS)
    peaks, weights = record(model, corpus), weights_of(model, corpus)
    best = peaks.expert.ordered()
    most = np.stack([own.max(axis=0) for own in weights])  # (document, layer, expert)
    expected = -np.sort(-np.maximum(most, 0.0), axis=0)[:N_BEST]
    np.testing.assert_allclose(best.score, expected, rtol=2e-4, atol=1e-5)
    np.testing.assert_array_equal(best.documents >= 0, expected > 0)
    for rank, layer, expert in np.argwhere(best.documents >= 0):
        document, position = (int(a[rank, layer, expert]) for a in (best.documents, best.position))
        own = weights[document][position, layer, expert]
        assert own == pytest.approx(best.score[rank, layer, expert], rel=1e-3)
    assert peaks.neuron.key.shape == (N_BEST, 3, 0)
    dense = [layer for layer in range(3) if layer not in [routed.number for routed in model.routed]]
    assert (best.documents[:, dense] == -1).all() and not peaks.sample.active[:, dense].any()


def test_at_random_tokens_an_expert_is_active_where_its_router_chose_it():
    model, corpus = routed_model("glm4_moe"), make_corpus(LENGTHS)
    sample, weights = record(model, corpus).sample, weights_of(model, corpus)
    assert len(sample.document) == N_RANDOM
    for row, place in enumerate(zip(sample.document.tolist(), sample.position.tolist(), strict=True)):
        own = weights[place[0]][place[1]]
        np.testing.assert_array_equal(sample.active[row], own >= 0)
        np.testing.assert_allclose(sample.z[row], np.maximum(own, 0), rtol=1e-4, atol=1e-5)


def test_shards_of_routed_experts_add_up_bit_by_bit(tmp_path):
    model, corpus = routed_model("olmoe"), make_corpus(LENGTHS)
    whole, paths = record(model, corpus), []
    for shard in shard_names(len(LENGTHS), PER_SHARD):
        idx = shard_documents(corpus, shard, PER_SHARD)
        said = {"experts_sha256": "e", "documents_sha256": documents_digest(corpus, idx)}
        paths.append(tmp_path / f"shard_{shard}.h5")
        write_peaks(
            paths[-1], PEAK_SHARD, record(model, corpus, idx), n_skipped_documents=0, **SAID, **said
        )  # fmt: skip
    cut = {"documents_per_shard": PER_SHARD, "documents_per_block": 2, "max_blocks": 100}
    merged, attrs = ShardedLanguage(corpus, **SAID, **cut).merge_peaks(paths)
    write_peaks(tmp_path / "whole.h5", PEAKS, merged, **attrs)
    found = read_peaks(tmp_path / "whole.h5", **SAID)
    for name in ("key", "position", "score"):
        np.testing.assert_array_equal(
            getattr(found.expert.ordered(), name), getattr(whole.expert.ordered(), name)
        )
    for name, array in vars(whole.sample).items():
        np.testing.assert_array_equal(getattr(found.sample, name), array)


def test_an_interrupted_recording_of_routers_goes_on_to_the_same_tokens(tmp_path):
    model, corpus, calls = routed_model("olmoe"), make_corpus(LENGTHS), []
    model.tokens_per_batch = 16

    def stop_in_the_middle(n_tokens):
        calls.append(n_tokens)
        if len(calls) == 4:
            raise KeyboardInterrupt

    resume = {"resume_file": tmp_path / "resume.npz", "save_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        record(model, corpus, on_progress=stop_in_the_middle, **resume)
    found, whole = record(model, corpus, **resume), record(model, corpus)
    np.testing.assert_array_equal(found.expert.ordered().key, whole.expert.ordered().key)
