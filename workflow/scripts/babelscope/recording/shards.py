"""A language recorded in shards: which documents each holds, and how their counts add up to one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5
from babelscope.recording.counts import ACTIVATIONS, ActivationCounts
from babelscope.recording.resume import RunningCounts
from babelscope.recording.shard_names import shard_names
from babelscope.study.errors import BabelscopeError
from babelscope.text.token_file import TokenFile
from babelscope.text.tokens import TokenizedCorpus, documents_digest


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
    total: RunningCounts | None = None
    shared: tuple = ()
    n_skipped = 0
    for path, shard in zip(paths, shard_names(n_documents, documents_per_shard), strict=False):
        datasets, attrs = read_h5(path, ACTIVATIONS, model=model, language=language, variant=variant)
        document_idx = shard_documents(corpus, shard, documents_per_shard)
        if attrs.get("documents_sha256") != documents_digest(corpus, document_idx):
            raise BabelscopeError(
                f"{path}: recorded from other documents than those of the corpus now; delete it and run "
                "again: rule record_activations remakes it"
            )
        own = (datasets["n_active"].shape[1:], attrs["top_k"], attrs["experts_sha256"])
        if total is None:
            shared, total = own, RunningCounts.zeros(n_blocks, [own[0]])
        elif own != shared:
            raise BabelscopeError(
                f"{path}: (layers, experts), top_k and experts_sha256 are {own}, "
                f"those of the shards before {shared}; "
                "delete the older ones and run again: rule record_activations remakes them"
            )
        first_block = int(shard) * documents_per_shard // documents_per_block
        total.add([datasets["n_active"]], datasets["n_tokens"], first_block)
        n_skipped += attrs["n_skipped_documents"]
    if total is None:
        raise BabelscopeError("no profile document to merge: every document of the corpus is held out")
    sha256 = documents_digest(corpus, corpus.profile_idx)
    counts = total.finished([shared[1]])[0]
    made = {"documents_sha256": sha256, "experts_sha256": shared[2]}
    return counts, {"n_skipped_documents": n_skipped, **made}
