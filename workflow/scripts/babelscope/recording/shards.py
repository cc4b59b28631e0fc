"""A language recorded in shards: which documents each holds, and how their counts add up to one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5
from babelscope.files.kind import Kind
from babelscope.recording.counts import ACTIVATIONS, ActivationCounts, write_activations
from babelscope.recording.neurons import NEURON_BLOCKS, NEURON_SHARD, NeuronTotals, write_neurons
from babelscope.recording.resume import RunningCounts, to_units
from babelscope.recording.shard_names import shard_names
from babelscope.study.errors import BabelscopeError
from babelscope.text.token_file import TokenFile
from babelscope.text.tokens import TokenizedCorpus, documents_digest

_NOTHING = "no profile document to merge: every document of the corpus is held out"


def shard_documents(
    corpus: TokenizedCorpus | TokenFile, shard: str | None, documents_per_shard: int
) -> np.ndarray:
    """Indices of the profile documents of one shard, int64; fewer, or none, where the corpus ends.

    All of them where ``shard`` is None.
    """
    if shard is None:
        return corpus.profile_idx
    first = int(shard) * documents_per_shard
    return corpus.profile_idx[first : first + documents_per_shard]


def merge_shards(
    paths: Sequence[str | Path],
    corpus: TokenizedCorpus | TokenFile,
    documents_per_shard: int,
    documents_per_block: int,
    max_blocks: int,
    *,
    model: str,
    language: str,
    variant: str,
) -> tuple[ActivationCounts, dict[str, Any]]:
    """Add the counts of all shards of a language, to what one job would have counted.

    Parameters
    ----------
    paths : ``shard_{shard}.h5`` of every shard, in order.
    corpus : the documents as they are now.
    documents_per_shard, documents_per_block, max_blocks : as in the recording.
    model, language, variant : what every shard must say that it is.

    Returns
    -------
    The counts, and the attributes of their file: how many documents were skipped, and the digests of
    documents and experts.

    Raises
    ------
    BabelscopeError
        Where a shard was recorded from other documents than the corpus holds now, or does not fit the rest.
    """
    n_documents = len(corpus.profile_idx)
    n_blocks = min(max_blocks, -(-n_documents // documents_per_block))
    said = {"model": model, "language": language, "variant": variant}
    total: RunningCounts | None = None
    shared: tuple = ()
    n_skipped = 0
    for path, first, datasets, attrs in _shards(paths, ACTIVATIONS, corpus, documents_per_shard, said):
        own = (
            datasets["n_active"].shape[1:],
            attrs["top_k"],
            attrs["experts_sha256"],
            attrs.get("weights_sha256", ""),
        )
        routed = tuple(attrs.get("n_experts_by_layer", ()))
        tables = [datasets["n_active"]]
        if routed:
            tables += to_units(datasets["gate_weight"], datasets["router_entropy"][:, :, None])
        if total is None:
            shared, total = own, RunningCounts.zeros(n_blocks, [table.shape[1:] for table in tables])
        elif own != shared:
            raise BabelscopeError(
                f"{path}: (layers, experts), top_k, experts_sha256 and weights_sha256 are {own}, "
                f"those of the shards before {shared}; "
                "delete the older ones and run again: rule record_activations remakes them"
            )
        total.add(tables, datasets["n_tokens"], first // documents_per_block)
        n_skipped += attrs["n_skipped_documents"]
    if total is None:
        raise BabelscopeError(_NOTHING)
    counts = total.finished_routers(shared[1], routed) if routed else total.finished([shared[1]])[0]
    sha256 = documents_digest(corpus, corpus.profile_idx)
    made = {"documents_sha256": sha256, "experts_sha256": shared[2], "weights_sha256": shared[3]}
    return counts, {"n_skipped_documents": n_skipped, **made}


def merge_neurons(
    paths: Sequence[str | Path],
    corpus: TokenizedCorpus | TokenFile,
    documents_per_shard: int,
    documents_per_block: int,
    max_blocks: int,
    *,
    model: str,
    language: str,
) -> tuple[NeuronTotals, dict[str, Any]]:
    """Add the sums of neurons of all shards of a language, to what one job would have added up, bit by bit.

    Parameters, errors : as ``merge_shards``.

    Returns
    -------
    The sums, and the attributes of their file.
    """
    n_blocks = min(NEURON_BLOCKS, max_blocks, -(-len(corpus.profile_idx) // documents_per_block))
    said = {"model": model, "language": language}
    total: NeuronTotals | None = None
    n_skipped = 0
    for path, first, datasets, attrs in _shards(paths, NEURON_SHARD, corpus, documents_per_shard, said):
        new = NeuronTotals(**datasets)
        total = total or NeuronTotals.zeros(n_blocks, *new.n_positive.shape[1:])
        if new.n_positive.shape[1:] != total.n_positive.shape[1:]:
            raise BabelscopeError(
                f"{path}: (layers, neurons) are {new.n_positive.shape[1:]}, those of the shards before "
                f"{total.n_positive.shape[1:]}; {NEURON_SHARD.remake}"
            )
        total.add(new, first // documents_per_block)
        n_skipped += attrs["n_skipped_documents"]
    if total is None:
        raise BabelscopeError(_NOTHING)
    sha256 = documents_digest(corpus, corpus.profile_idx)
    return total, said | {"documents_sha256": sha256, "n_skipped_documents": n_skipped}


def merge_to_files(
    inputs: Any,
    outputs: Mapping[str, str],
    corpus: TokenizedCorpus | TokenFile,
    cut: Mapping[str, Any],
    *,
    model: str,
    language: str,
) -> None:
    """Merge the shards of every output and write it.

    Parameters
    ----------
    inputs : paths of the shards by name of the output: a variant, or ``neurons``.
    outputs : paths by that name. cut : the numbers of documents and blocks that ``merge_shards`` takes.
    corpus, model, language : see ``merge_shards``.
    """
    said: dict[str, Any] = {"model": model, "language": language}
    for name, path in outputs.items():
        if name == "neurons":
            sums, attrs = merge_neurons(inputs[name], corpus, **cut, **said)
            write_neurons(path, sums, **attrs)
        else:
            counts, attrs = merge_shards(inputs[name], corpus, **cut, **said, variant=name)
            write_activations(path, counts, **said, variant=name, **attrs)


def _shards(
    paths: Sequence[str | Path],
    kind: Kind,
    corpus: TokenizedCorpus | TokenFile,
    documents_per_shard: int,
    said: dict[str, str],
) -> Iterator[tuple[str | Path, int, dict[str, np.ndarray], dict[str, Any]]]:
    """Path, number of the first document, datasets and attributes of every shard that has documents."""
    n_documents = len(corpus.profile_idx)
    for path, shard in zip(paths, shard_names(n_documents, documents_per_shard), strict=False):
        datasets, attrs = read_h5(path, kind, **said)
        document_idx = shard_documents(corpus, shard, documents_per_shard)
        if attrs.get("documents_sha256") != documents_digest(corpus, document_idx):
            raise BabelscopeError(
                f"{path}: recorded from other documents than those of the corpus now; delete it and run "
                "again: rule record_activations remakes it"
            )
        yield path, int(shard) * documents_per_shard, datasets, attrs
