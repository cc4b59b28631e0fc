"""Shards and interrupted jobs: what is added up is what one job would have counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tests.support import ROOT
from tests.tiny import make_corpus, make_model

from babelscope.experts.partition import ExpertPartition
from babelscope.model.compute import Compute
from babelscope.model.info import describe_model
from babelscope.model.load import StudyModel, load_model
from babelscope.recording.counts import write_activations
from babelscope.recording.neurons import MOMENTS, write_neuron_shard
from babelscope.recording.record import RecordingSettings, Variant, record_activations
from babelscope.recording.resume import RunningCounts
from babelscope.recording.shard_names import shard_names
from babelscope.recording.shards import ShardedLanguage, shard_documents
from babelscope.study.errors import BabelscopeError
from babelscope.text.token_file import open_tokens
from babelscope.text.tokens import documents_digest, write_tokens

LENGTHS = [7, 3, 12, 5, 5, 9, 2, 20, 11, 4, 6, 8, 13, 1, 3, 5, 7, 9, 11, 2, 4, 6, 8]
PER_SHARD = 8
SAID = {"model": "tiny", "language": "en", "variant": "main"}


def variant():
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.arange(24) % 6) for _ in range(3)]
    return Variant("main", ExpertPartition(np.stack(rows).astype(np.int32), 6), 4)


def record(corpus, document_idx, max_blocks=100, model=None, **options):
    model = model or StudyModel(make_model("llama"), 40)
    settings = RecordingSettings(2, 4, max_blocks=max_blocks)
    return record_activations(model, corpus, document_idx, [variant()], settings, neurons=True, **options)


def same_neurons(found, expected):
    """Bit by bit."""
    for name in ("n_positive", "n_tokens", *MOMENTS):
        np.testing.assert_array_equal(getattr(found.finished(), name), getattr(expected.finished(), name))


def sharded(corpus, max_blocks):
    return ShardedLanguage(corpus, "tiny", "en", PER_SHARD, 2, max_blocks)


def write_shards(folder, corpus, max_blocks):
    paths = []
    for shard in shard_names(len(corpus.profile_idx), PER_SHARD):
        idx = shard_documents(corpus, shard, PER_SHARD)
        found = record(corpus, idx, max_blocks)
        attrs = SAID | {"n_skipped_documents": 0, "documents_sha256": documents_digest(corpus, idx)}
        write_activations(
            folder / f"shard_{shard}.h5",
            found.counts["main"],
            experts_sha256=variant().partition.sha256,
            **attrs,
        )
        write_neuron_shard(folder / f"neurons_{shard}.h5", found.neurons, **attrs)
        paths.append(folder / f"shard_{shard}.h5")
    return paths


@pytest.mark.parametrize("max_blocks", [100, 5, 3, 1])
def test_shards_add_up_to_one_job(tmp_path, max_blocks):
    corpus = make_corpus(LENGTHS, n_heldout=2)
    paths = write_shards(tmp_path, corpus, max_blocks)
    assert len(paths) == 3
    merged, attrs = sharded(corpus, max_blocks).merge_counts(paths, "main")
    whole = record(corpus, corpus.profile_idx, max_blocks).counts["main"]
    np.testing.assert_array_equal(merged.n_active, whole.n_active)
    np.testing.assert_array_equal(merged.n_tokens, whole.n_tokens)
    assert len(whole.n_tokens) == min(max_blocks, 11)
    assert attrs["documents_sha256"] == documents_digest(corpus, corpus.profile_idx)


@pytest.mark.parametrize("max_blocks", [100, 9, 3, 1])
def test_sums_of_neurons_of_shards_are_those_of_one_job_bit_by_bit(tmp_path, max_blocks):
    corpus = make_corpus(LENGTHS, n_heldout=2)
    write_shards(tmp_path, corpus, max_blocks)
    paths = sorted(tmp_path.glob("neurons_*.h5"))
    merged, attrs = sharded(corpus, max_blocks).merge_neurons(paths)
    whole = record(corpus, corpus.profile_idx, max_blocks)
    same_neurons(merged, whole.neurons)
    assert len(merged.n_tokens) == min(max_blocks, 10)  # of 11 blocks of documents
    assert merged.n_tokens.sum() == whole.counts["main"].n_tokens.sum()
    assert attrs == {
        "model": "tiny",
        "language": "en",
        "n_skipped_documents": 0,
        "documents_sha256": documents_digest(corpus, corpus.profile_idx),
    }
    with pytest.raises(BabelscopeError, match=r"neurons_000\.h5: recorded from other documents"):
        sharded(make_corpus(LENGTHS, seed=1), max_blocks).merge_neurons(paths)


def test_blocks_beyond_the_most_are_added_in_turn():
    corpus = make_corpus(LENGTHS)
    every = record(corpus, corpus.profile_idx).counts["main"]  # 12 blocks
    folded = record(corpus, corpus.profile_idx, max_blocks=5).counts["main"]
    for row in range(5):
        np.testing.assert_array_equal(folded.n_active[row], every.n_active[row::5].sum(axis=0))
        assert folded.n_tokens[row] == every.n_tokens[row::5].sum()


def test_a_shard_beyond_the_corpus_is_empty():
    corpus = make_corpus(LENGTHS)
    counts = record(corpus, shard_documents(corpus, "007", PER_SHARD)).counts["main"]
    assert counts.n_active.shape == (0, 3, 6)


def test_a_changed_document_is_noticed(tmp_path):
    corpus = make_corpus(LENGTHS)
    paths = write_shards(tmp_path, corpus, 100)
    other = make_corpus(LENGTHS, seed=1)
    with pytest.raises(BabelscopeError, match=r"shard_000\.h5: recorded from other documents"):
        sharded(other, 100).merge_counts(paths, "main")


def test_the_digest_looks_at_documents_not_at_where_they_stand():
    few, many = make_corpus([5, 5, 5]), make_corpus([5, 5, 5, 5, 5])
    assert documents_digest(few, np.arange(3)) == documents_digest(many, np.arange(3))
    assert documents_digest(few, np.arange(3)) != documents_digest(few, np.arange(2))
    assert documents_digest(few, np.array([0, 1])) != documents_digest(few, np.array([1, 0]))
    no_bos = make_corpus([5, 5, 5], bos=-1)
    assert documents_digest(few, np.arange(3)) != documents_digest(no_bos, np.arange(3))


def test_documents_are_read_from_their_file_as_they_are_in_memory(tmp_path):
    corpus = make_corpus(LENGTHS, n_heldout=2)
    write_tokens(tmp_path / "en.h5", corpus, "tiny", "en", 30)
    with open_tokens(tmp_path / "en.h5", "tiny", "en") as stored:
        np.testing.assert_array_equal(stored.profile_idx, corpus.profile_idx)
        for idx in (np.array([5]), np.array([9, 4, 4, 20]), np.arange(len(LENGTHS))):
            np.testing.assert_array_equal(stored.take(idx).token_ids, corpus.take(idx).token_ids)
            np.testing.assert_array_equal(stored.take(idx).offsets, corpus.take(idx).offsets)
        counts = record(stored, stored.profile_idx).counts["main"]
    expected = record(corpus, corpus.profile_idx).counts["main"]
    np.testing.assert_array_equal(counts.n_active, expected.n_active)
    with pytest.raises(BabelscopeError, match="made with model = 'tiny', this run has 'other'"):
        open_tokens(tmp_path / "en.h5", "other", "en").__enter__()


def test_a_damaged_file_of_an_interrupted_job_is_ignored(tmp_path):
    counts = RunningCounts.zeros(2, [(3, 6)])
    counts.save(tmp_path / "resume.npz", "key")
    assert RunningCounts.load(tmp_path / "resume.npz", "other") is None
    assert RunningCounts.load(tmp_path / "resume.npz", "key").n_documents == 0
    content = (tmp_path / "resume.npz").read_bytes()
    (tmp_path / "resume.npz").write_bytes(content[: len(content) // 2])
    assert RunningCounts.load(tmp_path / "resume.npz", "key") is None


def test_out_of_memory_halves_the_batches_and_changes_no_count(caplog):
    corpus = make_corpus([7] * 10)
    model = StudyModel(make_model("llama"), 40)
    seen = []

    def limit(_module, args, kwargs):
        if kwargs["input_ids"].numel() > 25:
            raise torch.OutOfMemoryError("no more")

    model.base.register_forward_pre_hook(limit, with_kwargs=True)
    with caplog.at_level("INFO", logger="babelscope"):
        found = record(corpus, corpus.profile_idx, model=model, on_progress=seen.append)
    expected = record(corpus, corpus.profile_idx)
    np.testing.assert_array_equal(found.counts["main"].n_active, expected.counts["main"].n_active)
    np.testing.assert_array_equal(found.neurons.n_positive, expected.neurons.n_positive)
    for name in MOMENTS:
        sums = (getattr(recording.neurons.finished(), name) for recording in (found, expected))
        np.testing.assert_allclose(*sums, rtol=1e-4, atol=1e-4)
    assert "out of GPU memory: batches of 20 tokens from here on" in caplog.text
    assert sum(seen) == 8 * 10


def test_a_document_that_is_too_large_says_what_to_do():
    model = StudyModel(make_model("llama"), 40)

    def limit(_module, _args, _kwargs):
        raise torch.OutOfMemoryError("no more")

    model.base.register_forward_pre_hook(limit, with_kwargs=True)
    corpus = make_corpus(LENGTHS)
    with pytest.raises(BabelscopeError, match=r"one document of 12 tokens at a time.*device_map: auto"):
        record(corpus, corpus.profile_idx, model=model)


def test_weights_that_accelerate_brings_in_for_each_pass_give_the_same_counts():
    from accelerate import cpu_offload

    corpus = make_corpus(LENGTHS)
    module = make_model("llama")
    cpu_offload(module, execution_device=torch.device("cpu"))
    model = StudyModel(module, 40)
    assert model.layers[0].down.weight.device.type == "meta"
    offloaded = record(corpus, corpus.profile_idx, model=model)
    expected = record(corpus, corpus.profile_idx)
    np.testing.assert_array_equal(offloaded.counts["main"].n_active, expected.counts["main"].n_active)
    np.testing.assert_array_equal(offloaded.neurons.n_positive, expected.neurons.n_positive)


def test_a_model_loaded_with_a_device_map_gives_the_same_counts(tmp_path):
    make_model("llama").save_pretrained(tmp_path / "tiny")
    info = describe_model("tiny", tmp_path / "tiny", n_layers=3, origin="path")
    corpus = make_corpus(LENGTHS)
    mapped = record(corpus, corpus.profile_idx, model=load_model(info, Compute(device_map="auto"))).counts[
        "main"
    ]
    expected = record(corpus, corpus.profile_idx).counts["main"]
    np.testing.assert_array_equal(mapped.n_active, expected.n_active)


JOB = """
from pathlib import Path
from tests.unit.recording.test_shards import LENGTHS, record
from tests.tiny import make_corpus
import numpy as np, time, torch
torch.set_num_threads({threads})
corpus = make_corpus(LENGTHS)
def slow(n_tokens):
    if {slow}:
        time.sleep(0.1)
    print(n_tokens, flush=True)
options = {{"resume_file": Path("resume.npz"), "save_seconds": 0, "on_progress": slow}}
found = record(corpus, corpus.profile_idx, **options)
np.save("counts.npy", found.counts["main"].n_active)
done = found.neurons.finished()
np.save("neurons.npy", [done.sum, done.sum_of_squares, done.sum_of_magnitudes, done.n_positive])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_a_killed_job_goes_on_from_its_last_batch(tmp_path):
    def start(slow):
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            [sys.executable, "-c", JOB.format(slow=slow, threads=torch.get_num_threads())],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )

    job = start(slow=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "resume.npz").exists():
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    job.kill()
    job.communicate()
    assert not (tmp_path / "counts.npy").exists()
    with np.load(tmp_path / "resume.npz") as state:
        n_seen = int(state["numbers"][1])
    output, _ = start(slow=False).communicate(timeout=120)
    assert int(output.split()[0]) == n_seen > 0
    assert sum(map(int, output.split())) == sum(LENGTHS) + len(LENGTHS)
    corpus = make_corpus(LENGTHS)
    expected = record(corpus, corpus.profile_idx)
    np.testing.assert_array_equal(np.load(tmp_path / "counts.npy"), expected.counts["main"].n_active)
    done = expected.neurons.finished()
    sums = [done.sum, done.sum_of_squares, done.sum_of_magnitudes, done.n_positive]
    np.testing.assert_array_equal(np.load(tmp_path / "neurons.npy"), sums)
    assert not (tmp_path / "resume.npz").exists()
