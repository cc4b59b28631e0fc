"""Best tokens of units: what a plain look at every activation finds, whatever the parts they are found in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import make_corpus, make_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.load import StudyModel
from babelscope.recording.neuron_tap import NeuronSums
from babelscope.recording.peaks import PEAK_SHARD, PEAKS, read_peaks, write_peaks
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.recording.reference import reference_active, reference_z
from babelscope.recording.shard_names import shard_names
from babelscope.recording.shards import ShardedLanguage, shard_documents
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_digest

LENGTHS = [7, 3, 12, 5, 5, 9, 2, 20, 11, 4, 6, 8, 13, 1, 3, 5, 7, 9, 11, 2, 4, 6, 8]
N_BEST, N_RANDOM, TOP_K, PER_SHARD = 4, 9, 4, 8
SAID = {"model": "tiny", "language": "en"}
ATTRS = SAID | {"n_skipped_documents": 0}
CUT = {"documents_per_shard": PER_SHARD, "documents_per_block": 2, "max_blocks": 100}
RANDOM = np.random.default_rng(0)
PARTITION = ExpertPartition(
    np.stack([RANDOM.permutation(np.arange(24) % 6) for _ in range(3)]).astype(np.int32), 6
)


def record(corpus, idx=None, module=None, segment=8, budget=40, **options):
    return record_activations(
        StudyModel(module or make_model("llama"), budget),
        corpus,
        corpus.profile_idx if idx is None else idx,
        [Variant("main", PARTITION, TOP_K)],
        RecordingSettings(
            2,
            segment,
            on_nonfinite=options.pop("on_nonfinite", "stop"),
            best_tokens=N_BEST,
            random_tokens=N_RANDOM,
        ),
        peaks=True,
        **options,
    )


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(LENGTHS, n_heldout=2)


@pytest.fixture(scope="module")
def found(corpus):
    return record(corpus).peaks


@pytest.fixture(scope="module")
def written_out(corpus):
    """Activations of every document alone, float32 (token, layer, neuron), and z-scores of its experts."""
    model = StudyModel(make_model("llama"))
    result = {}
    for number in corpus.profile_idx.tolist():
        caught: list[torch.Tensor] = []

        def catch(_, args, caught=caught):
            caught.append(args[0][0, 1:].clone())

        hooks = [layer.down.register_forward_pre_hook(catch) for layer in model.layers]
        model.hidden(torch.tensor([[corpus.bos_token_id, *corpus.document(number).tolist()]]))
        for hook in hooks:
            hook.remove()
        h = torch.stack(caught, dim=1).numpy()
        z = np.stack([reference_z(h[:, n], PARTITION.labels[n], 6) for n in range(3)], axis=1)
        result[number] = h, z
    return result


def test_best_tokens_are_those_that_a_look_at_all_activations_finds(found, written_out):
    for which, best in enumerate((found.neuron.ordered(), found.expert.ordered())):
        sizes = []
        for number, scores in written_out.items():
            values = np.maximum(scores[which], 0) if which else np.abs(scores[which])
            sizes.append((number, values.max(axis=0)))
        order = np.stack([size for _, size in sizes])
        expected = -np.sort(-order, axis=0)[:N_BEST]
        np.testing.assert_allclose(np.abs(best.score), expected, rtol=2e-4, atol=2e-4)
        for cell in np.ndindex(best.score.shape):
            own = written_out[int(best.documents[cell])][which]
            value = own[best.position[cell], cell[1], cell[2]]
            assert value == pytest.approx(best.score[cell], rel=1e-3, abs=1e-3)
        assert (np.diff(np.sort(best.documents, axis=0), axis=0) > 0).all(), "one token of a document"


def test_scores_at_random_tokens_are_those_of_the_model(found, written_out):
    assert len(found.sample.document) == N_RANDOM == len(set(found.sample.document.tolist()))
    for row, (number, position) in enumerate(
        zip(found.sample.document.tolist(), found.sample.position.tolist(), strict=True)
    ):
        h, z = written_out[number]
        np.testing.assert_allclose(found.sample.activation[row], h[position], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found.sample.z[row], z[position], rtol=1e-3, atol=1e-3)
        active = reference_active(z[position].reshape(1, -1), TOP_K).reshape(3, 6)
        np.testing.assert_array_equal(found.sample.active[row], active)


def test_held_out_documents_have_no_tokens(found, corpus):
    seen = {*found.expert.documents.ravel().tolist(), *found.sample.document.tolist()}
    assert not seen & set(corpus.heldout_idx.tolist())


def test_recording_without_peaks_counts_the_same(corpus):
    settings = RecordingSettings(2, 8)
    model = StudyModel(make_model("llama"), 40)
    plain = record_activations(
        model, corpus, corpus.profile_idx, [Variant("main", PARTITION, TOP_K)], settings
    )
    assert plain.peaks is None
    np.testing.assert_array_equal(
        plain.counts["main"].n_active, record(corpus, neurons=True).counts["main"].n_active
    )


def same(a, b):
    for mine, other in ((a.expert.ordered(), b.expert.ordered()), (a.neuron.ordered(), b.neuron.ordered())):
        for name in ("key", "position", "score"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
    for name, array in vars(a.sample).items():
        np.testing.assert_array_equal(array, getattr(b.sample, name))


def write_shards(folder, corpus):
    paths = []
    for shard in shard_names(len(corpus.profile_idx), PER_SHARD):
        idx = shard_documents(corpus, shard, PER_SHARD)
        sha256 = documents_digest(corpus, idx)
        path = folder / f"shard_{shard}.h5"
        write_peaks(
            path, PEAK_SHARD, record(corpus, idx).peaks, experts_sha256="e", documents_sha256=sha256, **ATTRS
        )
        paths.append(path)
    return paths


def test_shards_add_up_to_one_job_bit_by_bit(tmp_path, corpus, found):
    paths = write_shards(tmp_path, corpus)
    merged, attrs = ShardedLanguage(corpus, **SAID, **CUT).merge_peaks(paths)
    same(merged, found)
    write_peaks(tmp_path / "whole.h5", PEAKS, merged, **attrs)
    same(read_peaks(tmp_path / "whole.h5", **SAID, experts_sha256="e"), found)
    with pytest.raises(BabelscopeError, match=r"shard_000\.h5: recorded from other documents"):
        ShardedLanguage(make_corpus(LENGTHS, n_heldout=2, seed=1), **SAID, **CUT).merge_peaks(paths)


def test_an_interrupted_recording_goes_on_to_the_same_tokens(tmp_path, corpus, found):
    resume, calls = tmp_path / "resume.npz", []

    def stop_in_the_middle(n_tokens):
        calls.append(n_tokens)
        if len(calls) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(corpus, resume_file=resume, on_progress=stop_in_the_middle, save_seconds=0)
    assert resume.exists()
    same(record(corpus, resume_file=resume).peaks, found)


def test_a_recording_of_several_segments_hands_over_once(corpus, found, monkeypatch):
    taken = []
    take = NeuronSums.take
    monkeypatch.setattr(NeuronSums, "take", lambda sums, orders: taken.append(1) or take(sums, orders))
    parts = record(corpus, neurons=True)
    assert len(parts.counts["main"].n_tokens) > 1 and len(taken) == 1
    same(parts.peaks, found)


def test_documents_left_out_have_no_tokens_and_others_keep_theirs():
    corpus, module = make_corpus(LENGTHS), make_model("llama")
    lengths = np.array(LENGTHS)
    bad = int(np.flatnonzero(lengths == 20)[0])
    token = int(corpus.document(bad)[3])
    good = [n for n in range(len(LENGTHS)) if token not in corpus.document(n)]
    module.get_input_embeddings().weight.data[token] = torch.nan
    # the same neighbours in a batch, or rounding may differ in the last bit
    found = record(corpus, module=module, on_nonfinite="skip", budget=20)
    assert set(range(len(LENGTHS))) - set(good) == set(found.skipped_documents)
    alone = record(corpus, np.array(good), on_nonfinite="skip", budget=20, module=module).peaks
    np.testing.assert_array_equal(found.peaks.expert.ordered().documents, alone.expert.ordered().documents)
    np.testing.assert_allclose(
        found.peaks.neuron.ordered().score, alone.neuron.ordered().score, rtol=1e-4, atol=1e-5
    )


def test_ties_go_to_the_earlier_document_and_token():
    lengths = [6] * 6
    corpus = make_corpus(lengths)
    same_tokens = corpus.token_ids.copy().reshape(6, 6)
    same_tokens[:] = same_tokens[0]
    corpus = type(corpus)(
        same_tokens.ravel(), corpus.offsets, corpus.heldout, corpus.n_bytes, corpus.bos_token_id
    )
    best = record(corpus, budget=1000).peaks.neuron.ordered()
    assert (best.documents == np.arange(N_BEST)[:, None, None]).all()
    assert (best.position == best.position[0]).all()
