"""The recordings of the languages are those of the languages."""

import numpy as np
import pytest
from tests.tiny import make_corpus

from babelscope.experts.partition import ExpertPartition
from babelscope.recording.counts import ActivationCounts, read_activations, write_activations
from babelscope.recording.together import read_recordings
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_digest


def test_two_languages_whose_files_were_swapped_are_named(tmp_path):
    made = {"variant": "main", "experts_sha256": "e", "documents_sha256": "d"}
    for code, n_active in (("en", 3), ("hi", 5)):
        counts = ActivationCounts(np.full((1, 1, 2), n_active), np.array([n_active]), 2)
        write_activations(tmp_path / f"{code}.h5", counts, model="tiny", language=code, **made)
    paths = [tmp_path / "en.h5", tmp_path / "hi.h5"]
    found = read_recordings(paths, "tiny", ["en", "hi"])
    assert [int(count.n_tokens[0]) for count in found] == [3, 5]
    with pytest.raises(BabelscopeError, match=r"hi\.h5: made with language = 'hi', this run has 'en'"):
        read_recordings(paths[::-1], "tiny", ["en", "hi"])
    with pytest.raises(BabelscopeError, match=r"hi\.h5: made with documents_sha256 = 'd', this run has 'x'"):
        read_recordings(paths, "tiny", ["en", "hi"], documents=["d", "x"])


def test_two_variants_or_models_whose_files_were_swapped_are_named(tmp_path):
    counts = ActivationCounts(np.full((1, 1, 2), 3), np.array([3]), 2)
    said = {"model": "tiny", "language": "en", "variant": "random"}
    write_activations(tmp_path / "en.h5", counts, **said, experts_sha256="e", documents_sha256="d")
    with pytest.raises(BabelscopeError, match="made with variant = 'random', this run has 'main'"):
        read_activations(tmp_path / "en.h5", model="tiny", language="en")
    with pytest.raises(BabelscopeError, match="made with model = 'tiny', this run has 'other'"):
        read_activations(tmp_path / "en.h5", **(said | {"model": "other"}))


def test_counts_of_another_partition_or_of_other_documents_are_refused(tmp_path):
    counts = ActivationCounts(np.full((1, 1, 2), 3), np.array([3]), 2)
    partition = ExpertPartition(np.array([[0, 1]], dtype=np.int32), 2)
    corpus = make_corpus([5, 5])
    digests = {
        "experts_sha256": partition.sha256,
        "documents_sha256": documents_digest(corpus, corpus.profile_idx),
    }
    said = {"model": "tiny", "language": "en", "variant": "main"}
    write_activations(tmp_path / "en.h5", counts, **said, **digests)
    read_activations(tmp_path / "en.h5", **said, partition=partition, corpus=corpus)
    other = ExpertPartition(np.array([[1, 0]], dtype=np.int32), 2)
    with pytest.raises(BabelscopeError, match="made with experts_sha256 = "):
        read_activations(tmp_path / "en.h5", **said, partition=other)
    with pytest.raises(BabelscopeError, match="made with documents_sha256 = "):
        read_activations(tmp_path / "en.h5", **said, corpus=make_corpus([5, 5], seed=1))
