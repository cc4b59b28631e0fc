"""A language recorded in shards: new documents add shards, and the counts are those of one job."""

from __future__ import annotations

import numpy as np
import torch
from tests.support import change_config, job, make_study, planned_jobs, run_snakemake

from babelscope.experts.partition import read_partition
from babelscope.files.hdf5 import read_h5
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.load import load_model
from babelscope.recording.counts import ACTIVATIONS
from babelscope.recording.neurons import MOMENTS, read_neurons
from babelscope.recording.record import RecordingSettings, make_variants, record_activations
from babelscope.text.tokens import read_tokens

MAIN = "results/tiny/activations/en.h5"
OUTPUTS = {
    "main": MAIN,
    "random": "results/tiny/variants/random/activations/en.h5",
}


def recorded_in_one_job(study):
    """Record the study's profile documents here, without shards, in the threads of its jobs."""
    info = read_model_info(study / "results/tiny/model.json")
    corpus = read_tokens(study / "results/tiny/tokens/en.h5", "tiny", "en")
    partitions = {"main": read_partition(study / "results/tiny/experts.h5", info)}
    partitions["random"] = read_partition(study / "results/tiny/variants/random/experts.h5", info, "random")
    model = load_model(info, Compute(device="cpu"), many_tokens=True)  # as a job that records does
    torch.set_num_threads(1)  # as jobs of two cores have: sums of neurons are compared bit by bit
    return record_activations(
        model,
        corpus,
        corpus.profile_idx,
        make_variants(partitions, 0.25),
        RecordingSettings(5, 10, max_blocks=4),
        neurons=True,
    )


def assert_same_as_one_job(study):
    recorded = recorded_in_one_job(study)
    counts = recorded.counts
    for name, path in OUTPUTS.items():
        datasets, attrs = read_h5(study / path, ACTIVATIONS)
        np.testing.assert_array_equal(datasets["n_active"], counts[name].n_active)
        np.testing.assert_array_equal(datasets["n_tokens"], counts[name].n_tokens)
        assert attrs["top_k"] == counts[name].top_k
    found = read_neurons(study / "results/tiny/neurons/en.h5", model="tiny", language="en")
    for name in ("n_positive", "n_tokens", *MOMENTS):
        expected = getattr(recorded.neurons.finished(), name)
        np.testing.assert_array_equal(getattr(found, name), expected, err_msg=name)


def shard(number):
    return job("record_activations", model="tiny", lang="en", shard=f"{number:03d}")


def test_shards_add_up_to_one_job_and_new_documents_add_shards(tmp_path, monkeypatch):
    recording = {"documents_per_shard": 10, "max_blocks": 4, "controls": ["random"]}
    config = {"recording": recording, "corpus": {"profile_documents": 15}}
    study = make_study(tmp_path / "study", n_lines=60, config=config)
    monkeypatch.chdir(study)
    assert {shard(0), shard(1)} <= planned_jobs(study, MAIN)
    run_snakemake(study, MAIN, check=True)
    assert_same_as_one_job(study)
    first = (study / "results/tiny/activations/en/shard_000.h5").read_bytes()

    change_config(study, {"corpus": {"profile_documents": 25}})
    merge, tokens = job("merge_shards", model="tiny", lang="en"), job("sample_corpus", lang="en")
    new = {shard(1), shard(2)}
    plans = {job("plan_shard", model="tiny", lang="en", shard=f"{number:03d}") for number in (1, 2)}
    expected = new | plans | {merge, tokens, job("tokenize_corpus", model="tiny", lang="en")}
    assert planned_jobs(study, MAIN) == expected
    run_snakemake(study, MAIN, check=True)
    assert_same_as_one_job(study)
    assert (study / "results/tiny/activations/en/shard_000.h5").read_bytes() == first
    assert planned_jobs(study, MAIN) == set()

    both = {"corpus": {"profile_documents": 40}, "recording": {"top_fraction": 0.5}}
    change_config(study, both)
    assert new | {shard(0), merge} <= planned_jobs(study, MAIN)
    both = {"corpus": {"profile_documents": 25}, "recording": recording | {"top_fraction": 0.25}}
    change_config(study, both)
    assert planned_jobs(study, MAIN) == set()

    text = study / "text" / "en.txt"
    text.write_text(text.read_text().replace("a", "b"))
    assert {shard(0), shard(1), shard(2), merge} <= planned_jobs(study, MAIN)
