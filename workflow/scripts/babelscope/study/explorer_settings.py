"""The configuration of contexts and of the explorer as types, see ``study.settings``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from babelscope.study.setting_types import Section, Unique, UnitName


class Contexts(Section):
    """What single tokens activate: which are recorded, and of which units the text is written."""

    top: int = Field(
        6,
        ge=1,
        le=100,
        description="Tokens of the largest score that are recorded of each unit and language.",
    )
    random: int = Field(
        24, ge=1, le=1000, description="Random tokens of each language at which all scores are recorded."
    )
    shown_random: int = Field(
        3,
        ge=0,
        le=1000,
        description="Of these, at most so many are written per unit; of experts active ones.",
    )
    text: bool = Field(
        True,
        description="Write the text around a token; false: positions alone, where a licence forbids to pass "
        "text on.",
    )
    characters: int = Field(
        100, ge=0, le=10_000, description="Characters of text on each side of a token at most."
    )
    experts: int = Field(8, ge=0, le=65_536, description="Most specific experts of each language to write.")
    neurons: int = Field(4, ge=0, le=65_536, description="Most specific neurons of each language to write.")
    shared: int = Field(12, ge=0, le=65_536, description="Most shared experts, and neurons, to write.")
    units: Annotated[list[UnitName], Unique] = Field(
        [], description="Further units: L3E117 is expert 117 of layer 3, L3N1024 neuron 1024."
    )


class Explorer(Section):
    """The page of experts, neurons and languages."""

    ablation: bool = Field(
        False,
        description="Show what is lost without a language's specific units (snakemake full measures it).",
    )
