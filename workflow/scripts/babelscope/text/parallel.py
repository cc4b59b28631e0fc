"""Parallel documents: what has the same id in two languages is a translation, and stays together.

Everything is decided by the id alone, so that languages agree without looking at each other: adding one
changes nothing of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# One id in so many is held out, whatever numbers are asked for: another size of the study moves no id.
HELDOUT_EVERY = 5


def unit_of(document_id: str, seed: int) -> int:
    """Number that an id stands for, in [0, 2**63): the same in every language, its digits as if drawn."""
    digest = hashlib.sha256(f"{seed}\n{document_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def is_heldout(unit: int) -> bool:
    """Whether documents of this unit are for evaluation alone."""
    return unit % HELDOUT_EVERY == 0


def ordered_units(
    documents: Iterable[tuple[str, str]], seed: int
) -> tuple[list[tuple[int, str, str]], list[tuple[int, str, str]]]:
    """Documents with their units, ordered by them: those for evaluation, and the others.

    Parameters
    ----------
    documents : ids and texts; of several with one id the first is taken.
    seed : another one gives another order and another split.
    """
    by_unit: dict[int, tuple[int, str, str]] = {}
    for name, text in documents:
        unit = unit_of(name, seed)
        by_unit.setdefault(unit, (unit, name, text))
    ordered = [by_unit[unit] for unit in sorted(by_unit)]
    return [one for one in ordered if is_heldout(one[0])], [one for one in ordered if not is_heldout(one[0])]
