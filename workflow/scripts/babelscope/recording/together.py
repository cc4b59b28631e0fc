"""Recordings of several languages, read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelscope.files.hdf5 import read_h5
from babelscope.recording.counts import ACTIVATIONS, ActivationCounts, as_counts
from babelscope.recording.parallel import align
from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class RecordedLanguages:
    """Recordings of several languages as they are in their files.

    Attributes
    ----------
    by_language : counts by code; of parallel documents one block per document.
    documents_per_block, max_blocks : asked for by the configuration.
    """

    by_language: dict[str, ActivationCounts]
    documents_per_block: int
    max_blocks: int

    def together(self, languages: Sequence[str]) -> list[ActivationCounts]:
        """Counts to compare: of parallel documents those that all of these languages have, in common blocks.

        Raises
        ------
        BabelscopeError
            Where parallel documents have too little in common (``align``).
        """
        counts = [self.by_language[language] for language in languages]
        parallel = [idx for idx, count in enumerate(counts) if count.unit is not None]
        if parallel:
            codes = [languages[idx] for idx in parallel]
            asked = (codes, self.documents_per_block, self.max_blocks)
            for idx, count in zip(parallel, align([counts[i] for i in parallel], *asked), strict=True):
                counts[idx] = count
        return counts


def read_recordings(
    paths: Sequence[str | Path],
    model: str,
    languages: Sequence[str],
    variant: str = "main",
    documents: Sequence[str] | None = None,
) -> list[ActivationCounts]:
    """Counts of several languages to compare, one file each, in the order of ``languages``.

    Parameters
    ----------
    documents : for each language ``documents_digest`` of the documents that the counts must be of; None: any.

    Raises
    ------
    BabelscopeError
        As ``read_files`` and ``RecordedLanguages.together``.
    """
    return read_files(paths, model, languages, variant, documents).together(languages)


def read_files(
    paths: Sequence[str | Path],
    model: str,
    languages: Sequence[str],
    variant: str = "main",
    documents: Sequence[str] | None = None,
) -> RecordedLanguages:
    """Read the counts of several languages, one file each, in the order of ``languages``.

    Dense layers between those with routed experts are left out.

    Parameters
    ----------
    documents : for each language ``documents_digest`` of the documents that the counts must be of; None: any.

    Raises
    ------
    BabelscopeError
        Where a file is wrong or not the one asked for, or two were made with other weights, other experts or
        another ``top_k``; the message names both.
    """
    counts: dict[str, ActivationCounts] = {}
    blocks = (1, 1)
    first: dict[str, Any] = {}
    made_of: Sequence[str | None] = documents or [None] * len(languages)
    for path, language, digest in zip(paths, languages, made_of, strict=True):
        asked = {"model": model, "language": language, "variant": variant, "documents_sha256": digest}
        asked = {name: value for name, value in asked.items() if value is not None}
        datasets, attrs = read_h5(path, ACTIVATIONS, **asked)
        own = {name: attrs.get(name) for name in ("weights_sha256", "experts_sha256", "top_k")}
        first = first or own
        for name, value in own.items():
            if value != first[name]:
                raise BabelscopeError(
                    f"{path}: made with {name} = {value!r}, {paths[0]} with {first[name]!r}; delete the "
                    f"older one and run again: rule {ACTIVATIONS.rule} remakes it"
                )
        counts[language] = as_counts(datasets, attrs).without_dense_layers()
        # files of before parallel documents do not say
        blocks = (
            attrs.get("documents_per_block", 1),
            attrs.get("max_blocks", len(counts[language].n_tokens)),
        )
    return RecordedLanguages(counts, *blocks)
