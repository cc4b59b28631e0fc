"""Recordings of parallel documents: one block per document, matched over languages by what its id stands for.

A recording keeps the documents apart, because it does not know which of them the other languages have. Where
languages are compared, the documents that all of them have are put into the same blocks, in the same order:
a block that is drawn is drawn in every language, and what its content does to all of them cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError
from babelscope.study.progress import logger

# What is added up over the documents of a block.
_SUMMED = ("n_active", "n_tokens", "gate_weight", "router_entropy")


@dataclass(frozen=True)
class Translations:
    """Which documents languages have in common.

    Attributes
    ----------
    common : int64 (n_common,), units that every language has, sorted.
    n_own : int64 (n_languages,), documents of each language.
    n_any : documents that at least one language has.
    """

    common: np.ndarray
    n_own: np.ndarray
    n_any: int

    @property
    def n_missing(self) -> np.ndarray:
        """Documents that another language has and this one lacks, int64 (n_languages,)."""
        return self.n_any - self.n_own


def find_translations(units: Sequence[np.ndarray]) -> Translations:
    """Compare the units of several languages, int64 (n_documents,) each."""
    n_any = len(np.unique(np.concatenate(units)))
    return Translations(reduce(np.intersect1d, units), np.array([len(unit) for unit in units]), n_any)


def rows_of(units: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where the wanted units stand among a language's units, int64 (n_wanted,); each must be there."""
    order = np.argsort(units)
    return order[np.searchsorted(units, wanted, sorter=order)]


def align(
    counts: Sequence[ActivationCounts], codes: Sequence[str], documents_per_block: int, max_blocks: int
) -> list[ActivationCounts]:
    """Recordings of the documents that all languages have, in blocks of the same documents.

    Parameters
    ----------
    counts : one block per document, with their units.
    codes : of the languages, for messages.
    documents_per_block, max_blocks : of the recording: documents of a block at least, and blocks at most.

    Returns
    -------
    Recordings with as many blocks each, marked as ``paired``.

    Raises
    ------
    BabelscopeError
        Where the languages have fewer documents in common than make two blocks.
    """
    found = find_translations([count.unit for count in counts if count.unit is not None])
    n_blocks = min(max_blocks, len(found.common) // documents_per_block)
    for code, n_missing in zip(codes, found.n_missing, strict=True):
        if n_missing:
            logger.info(f"{code}: {n_missing} of {found.n_any} parallel documents have no translation")
    logger.info(f"{len(found.common)} parallel documents are in all languages; these are compared")
    if n_blocks < 2:
        poorest = codes[int(found.n_own.argmin())]
        raise BabelscopeError(
            f"{len(found.common)} parallel documents are in all of {', '.join(codes)}, two blocks of "
            f"{documents_per_block} are needed; {poorest} has the fewest ({found.n_own.min()}): give it more "
            "text, leave it out, or lower recording.documents_per_block"
        )
    block = np.arange(len(found.common)) * n_blocks // len(found.common)
    together = []
    for count in counts:
        assert count.unit is not None
        rows = rows_of(count.unit, found.common)
        sums: dict[str, Any] = {
            name: _by_block(getattr(count, name), rows, block, n_blocks) for name in _SUMMED
        }
        together.append(replace(count, **sums, unit=None, paired=True))
    return together


def _by_block(
    values: np.ndarray | None, rows: np.ndarray, block: np.ndarray, n_blocks: int
) -> np.ndarray | None:
    if values is None:
        return None
    found = np.zeros((n_blocks, *values.shape[1:]), dtype=values.dtype)
    np.add.at(found, block, values[rows])
    return found
