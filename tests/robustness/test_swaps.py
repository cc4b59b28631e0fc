"""Every kind of result file in the place of another language's, variant's or model's: an error names both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tiny import make_corpus

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.page import find_kinds
from babelscope.files.record import read_lines, read_record, write_lines, write_record
from babelscope.pruning.tables import ABLATION, FRONTIER, MATRIX, PRUNING, read_languages_of
from babelscope.recording.counts import ActivationCounts, write_activations
from babelscope.recording.neurons import NeuronTotals, write_neuron_shard
from babelscope.recording.shards import ShardedLanguage
from babelscope.responses.measures import read_responses, write_responses
from babelscope.study.errors import BabelscopeError
from babelscope.text.tokens import documents_digest

KINDS = find_kinds()


def made_up(spec):
    """Values that a dataset of a kind may have, two along each axis."""
    shape = (2,) * len(spec.dims)
    if spec.dtype == "str":
        return np.full(shape, "a", dtype=object)
    return np.full(shape, max(0, spec.low or 0), dtype=spec.dtype)


def write(path, kind, said):
    if kind.datasets:
        write_h5(path, kind, {name: made_up(spec) for name, spec in kind.datasets.items()}, **said)
    elif kind.path.endswith(".jsonl"):
        write_lines(path, kind, [{"id": "0"}, {"id": "1"}], **said)
    else:
        write_record(path, kind, {}, **said)


def read(path, kind, said):
    if kind.datasets:
        return read_h5(path, kind, **said)
    return (read_lines if kind.path.endswith(".jsonl") else read_record)(path, kind, **said)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_file_of_any_kind_that_is_not_the_one_asked_for_names_both(tmp_path, kind):
    """Also kinds that are still to come: the declarations are read."""
    path = tmp_path / Path(kind.path).name
    said = {name: f"this {name}" for name in kind.says}
    assert said, "a file that says nothing of itself cannot be told from another"
    write(path, kind, said)
    read(path, kind, said)
    for name in kind.says:
        with pytest.raises(BabelscopeError) as caught:
            read(path, kind, said | {name: f"that {name}"})
        text = str(caught.value)
        assert f"'this {name}'" in text and f"'that {name}'" in text and path.name in text


@pytest.mark.parametrize("kind", [PRUNING, MATRIX, FRONTIER, ABLATION], ids=lambda kind: kind.name)
def test_two_languages_tables_swapped_are_named(tmp_path, kind):
    more = dict.fromkeys(set(kind.says) - {"model", "language"}, 1)
    paths = [tmp_path / f"{code}.json" for code in ("en", "hi")]
    for path in paths:
        write_record(path, kind, {"rows": []}, model="tiny", language=path.stem, **more)
    found = read_languages_of(paths, kind, "tiny", ["en", "hi"])
    assert [one["language"] for one in found] == ["en", "hi"]
    with pytest.raises(BabelscopeError, match=r"hi\.json: made with language = 'hi', this run has 'en'"):
        read_languages_of(paths[::-1], kind, "tiny", ["en", "hi"])


def test_two_languages_responses_swapped_are_named(tmp_path):
    row = {"id": "0", "mode": "greedy", "prompt": "p", "dense": "d", "pruned": "q"}
    write_responses(tmp_path / "en.jsonl", [row], model="tiny", language="hi")
    with pytest.raises(BabelscopeError, match=r"en\.jsonl: made with language = 'hi', this run has 'en'"):
        read_responses(tmp_path / "en.jsonl", model="tiny", language="en")


CUT = {"documents_per_shard": 2, "documents_per_block": 1, "max_blocks": 8}


@pytest.fixture
def shards(tmp_path):
    """Two shards of counts and of neurons, of a corpus of four documents."""
    corpus = make_corpus([5, 6, 7, 8])
    paths = {"counts": [], "neurons": []}
    for number in range(2):
        idx = np.arange(2 * number, 2 * number + 2)
        said = {"model": "tiny", "language": "en", "documents_sha256": documents_digest(corpus, idx)}
        said |= {"n_skipped_documents": 0, "weights_sha256": "w"}
        counts = ActivationCounts(np.full((2, 1, 2), 5), np.array([5, 5]), 2)
        paths["counts"].append(tmp_path / f"shard_{number}.h5")
        write_activations(paths["counts"][-1], counts, variant="main", experts_sha256="e", **said)
        paths["neurons"].append(tmp_path / f"neurons_{number}.h5")
        write_neuron_shard(paths["neurons"][-1], NeuronTotals.zeros(2, 1, 3), **said)
    return corpus, paths


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"language": "hi"}, "language = 'en', this run has 'hi'"),
        ({"variant": "random"}, "variant = 'main', this run has 'random'"),
        ({"model": "small"}, "model = 'tiny', this run has 'small'"),
    ],
)
def test_shards_of_another_language_variant_or_model_are_named(shards, other, message):
    corpus, paths = shards
    asked = {"model": "tiny", "language": "en", "variant": "main"}
    merge(corpus, paths, **asked)
    with pytest.raises(BabelscopeError, match=message):
        merge(corpus, paths, **(asked | other))


def merge(corpus, paths, variant, **asked):
    found = ShardedLanguage(corpus, **asked, **CUT)
    return found.merge_counts(paths["counts"], variant), found.merge_neurons(paths["neurons"])


@pytest.mark.parametrize("kind", ["counts", "neurons"])
def test_two_shards_swapped_are_of_other_documents(shards, kind):
    corpus, paths = shards
    found = ShardedLanguage(corpus, "tiny", "en", **CUT)
    with pytest.raises(BabelscopeError, match="recorded from other documents"):
        if kind == "counts":
            found.merge_counts(paths[kind][::-1], "main")
        else:
            found.merge_neurons(paths[kind][::-1])
