"""Settings of pruned models: which neurons stay, the causal test of selectors, perplexity of running text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from babelscope.study.input_settings import CorpusSource
from babelscope.study.setting_types import (
    Code,
    Fraction,
    OneOf,
    ProperFraction,
    Section,
    Unique,
    optional,
    whole_number,
)

ALL_METHODS = "babelscope.pruning.methods:ALL_METHODS"
SELECTORS = "babelscope.pruning.selectors:SELECTORS"
NEURON_METHODS = "babelscope.pruning.methods:METHODS"
ROUTED_SELECTORS = "babelscope.pruning.routed_choice:ROUTED_SELECTORS"


class Pruning(Section):
    """Running a model with high-frequency experts only."""

    method: Annotated[str, OneOf(ALL_METHODS)] = Field(
        "second_order_by_loss",
        description="What a language's finished model keeps: a share of all layers' neurons together, each "
        "layer as many as the loss needs (second_order_by_loss), or the same share of each layer's "
        "(second_order, wanda_sp, flap), where pruning.csv has the paper's experts as well; or experts: "
        "threshold is the paper's choice, the others keep a share of them.",
    )
    routed_selector: Annotated[str, OneOf(ROUTED_SELECTORS)] = Field(
        "reap",
        description="Which routed experts a language keeps (experts.method: router), a share of each layer; "
        "reap is the mean weight times output norm.",
    )
    share: Fraction = Field(0.6, description="Share that is kept, for the methods other than threshold.")
    compensation_documents: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="Profile documents that the kept columns of the down projections are fitted to.",
    )
    pooled_documents: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Profile documents of each other language that are pooled into the fit, with a weight "
        "that is chosen for each layer on documents of the language itself; a language that is added then "
        "changes all finished models.",
    )
    reference_languages: Annotated[list[Code], Unique] = Field(
        [],
        description="Languages on whose text it is measured, once per model, what a neuron costs in each "
        "layer (second_order_by_loss); none named: the first two of languages.",
    )
    reference_documents: int = Field(
        200,
        ge=2,
        le=1_000_000,
        description="Profile documents of all reference languages together, as many of each; gradients are "
        "taken of at most 60 of them.",
    )
    distil_epochs: int = whole_number(
        0,
        0,
        100,
        "Passes over the languages' own profile documents in which a finished model's weights are trained to "
        "say what the dense model says: nll_distilled in pruning.csv, and what is exported; 0: none.",
    )
    distil_rate: Fraction = Field(
        3.0e-5,
        description="Learning rate at the start of that training; it falls to zero. With the point: YAML "
        "reads 3e-5 as text.",
    )
    random_seeds: int = Field(
        3,
        ge=1,
        le=1000,
        description="Random draws of each language, its own, with as many experts in each layer.",
    )
    paper_compensated: bool = Field(
        False,
        description="Compensate the paper's experts as well where method chooses neurons (nll_compensated in "
        "pruning.csv); takes as long as a finished model. compensated_draws imply it.",
    )
    compensated_draws: int = Field(
        0,
        ge=0,
        le=1000,
        description="Random controls that are compensated as well; with at least one, experts of largest "
        "output and least frequent ones are, too. Each takes as long as the compensation itself.",
    )
    control_documents: int = Field(
        8,
        ge=1,
        le=1_000_000,
        description="Held-out documents, the first ones, that are read under each control; its loss is that "
        "of the chosen experts and the difference from it on these documents.",
    )
    partition_documents: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Held-out documents, the first ones, on which plain removal is repeated with the experts "
        "of every equivalent partition (recording.other_partitions); 0: none, and the intervals of its loss "
        "are over documents alone.",
    )
    frontier_shares: Annotated[list[Fraction], Field(min_length=1)] = Field(
        [0.5, 0.7, 0.9], description="Shares of experts kept in the frontier, for `snakemake full`."
    )
    frontier_documents: int = Field(
        40, ge=1, le=1_000_000, description="Held-out documents of the frontier and of targeted ablation."
    )
    matrix_documents: int = Field(
        24, ge=1, le=1_000_000, description="Held-out documents of the matrix, for `snakemake full`."
    )
    ablation_controls: int = Field(
        3,
        ge=0,
        le=100,
        description="Matched sets that are removed as controls of a language's specific units, for "
        "`snakemake full`.",
    )
    speed_models: Literal["extremes", "smallest", "all"] = Field(
        "extremes",
        description="Models that are timed: the smallest, median and largest, the smallest alone, or all. "
        "Models of equal widths are timed once.",
    )
    unions: dict[Code, Annotated[list[Code], Field(min_length=1), Unique]] = Field(
        {},
        description="Models for several languages together, by name, for instance romance: [fr, es, pt]; "
        "each keeps what any of its languages keeps.",
    )


class Selectors(Section):
    """The causal test of all ways to choose a language's neurons, for `snakemake full`."""

    names: Annotated[list[Annotated[str, OneOf(SELECTORS)]], Unique] = Field(
        [], description="Selectors to test; none named: all that there are."
    )
    shares: Annotated[list[Fraction], Field(min_length=1), Unique] = Field(
        [0.7], description="Shares of each layer's neurons that are kept, plainly and compensated."
    )
    removed_shares: Annotated[list[ProperFraction], Unique] = Field(
        [0.02], description="Shares of each layer's neurons that are removed, all others being kept."
    )
    profile_documents: int = Field(
        200, ge=1, le=1_000_000, description="Profile documents that selection and compensation look at."
    )
    heldout_documents: int = Field(
        16, ge=2, le=1_000_000, description="Held-out documents of the language whose units are tested."
    )
    other_documents: int = Field(
        3, ge=1, le=1_000_000, description="Held-out documents of each of the other languages."
    )
    draws: int = Field(
        2, ge=1, le=1000, description="Random draws of as many neurons per layer, each language its own."
    )


class Perplexity(Section):
    """Perplexity of running text after pruning, for `snakemake perplexity`; see config/wikitext2.yaml."""

    calibration: CorpusSource = optional("Text that the pruned models are fitted to.")
    text: CorpusSource = optional("Text whose perplexity is measured.")
    window: int = Field(2048, ge=8, le=131_072, description="Tokens that are read at a time.")
    calibration_windows: int = Field(
        128, ge=2, le=100_000, description="Windows of the calibration text, drawn from all of it."
    )
    text_windows: int = Field(
        0, ge=0, le=1_000_000, description="Windows of the text to measure, from its start; 0: all."
    )
    prefix_every_window: bool = Field(
        False,
        description="Put the token that begins a document before every window, which Gemma needs; published "
        "tables have it once, before the first.",
    )
    removed: Annotated[list[ProperFraction], Field(min_length=1), Unique] = Field(
        [0.1, 0.2, 0.3], description="Shares of all parameters that are removed, from feed-forward layers."
    )
    methods: Annotated[list[Annotated[str, OneOf(NEURON_METHODS)]], Field(min_length=1), Unique] = Field(
        ["second_order", "wanda_sp", "flap"], description="Ways to choose neurons; all are compensated."
    )
