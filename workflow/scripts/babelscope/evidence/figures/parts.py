"""Shared by the figures of the evidence: colours of genera, names of distances, relations of languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from babelscope.comparison.measures import MEASURES
from babelscope.figures.style import PALETTE
from babelscope.study.languages import Language

DISTANCES = {name: measure.distance_label for name, measure in MEASURES.items()}
# relation of two languages: colour, marker
RELATIONS = {
    "same genus": (PALETTE[5], "o"),
    "same family, another genus": (PALETTE[0], "s"),
    "another family": (PALETTE[7], "^"),
}
# dark colours first, because names of languages are printed in them
_GENUS_COLOURS = tuple(PALETTE[number] for number in (0, 5, 2, 3, 1, 4, 7, 6))
SINGLE = "0.4"
# texts that matplotlib makes after the figure do not know the study's style
TITLE: dict[str, Any] = {"fontsize": 10}
LEGEND: dict[str, Any] = {"fontsize": 8, "frameon": False}


def genus_colours(languages: Sequence[Language]) -> dict[str, str]:
    """A colour for each genus with two or more of the languages; the others are grey."""
    genera = [row.genus for row in languages]
    shared = [genus for genus in dict.fromkeys(genera) if genera.count(genus) > 1]
    colours = {genus: _GENUS_COLOURS[number % len(_GENUS_COLOURS)] for number, genus in enumerate(shared)}
    return {genus: colours.get(genus, SINGLE) for genus in genera}


def relation(a: Language, b: Language) -> str:
    """Relation of two languages: a key of ``RELATIONS``."""
    if a.family != b.family:
        return "another family"
    return "same genus" if a.genus == b.genus else "same family, another genus"
