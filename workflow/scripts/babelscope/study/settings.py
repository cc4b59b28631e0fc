"""The configuration as types: every key with its range, default and meaning.

Models and documents are in ``study.input_settings``, pruned models in ``study.pruning_settings``.
``config/config.schema.yaml`` and the tables of config/README.md are generated from all of them by
``study.generated`` (``make docs``). Rule files read the schema, because they may import no more than the
standard library and what Snakemake brings; rules between keys are in ``study.configuration``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from babelscope.study.explorer_settings import Contexts, Explorer
from babelscope.study.input_settings import Corpus, ModelDefinition
from babelscope.study.pruning_settings import Perplexity, Pruning, Selectors
from babelscope.study.setting_types import (
    Code,
    ColorMap,
    Device,
    Fraction,
    ModelName,
    OneOf,
    ProperFraction,
    Section,
    Text,
    Unique,
)

MEASURES = "babelscope.comparison.measures:MEASURES"
FAMILIES = "babelscope.model.families:FAMILIES"
CUTS = "babelscope.experts.clustering:CUTS"
METHODS = "babelscope.experts.methods:METHODS"


class Experts(Section):
    """How every feed-forward layer is cut."""

    n_experts: int = Field(
        256, ge=1, le=65_536, description="Experts of each layer; sizes differ by one neuron at most."
    )
    method: Annotated[str, OneOf(METHODS)] = Field(
        "balanced_kmeans",
        description="How a layer is cut; malinen_franti is the paper's solver. router: the routed experts of "
        "a mixture of experts, active where its routers choose them; then the other keys of this section, "
        "recording.top_fraction, recording.controls and recording.other_partitions mean nothing.",
    )
    matrix: Literal["up", "gate", "down", "both"] = Field(
        "up",
        description="Rows that are clustered: up, gate, down (its columns), both (up and gate side by side).",
    )
    normalize_rows: bool = Field(False, description="Scale rows to length one first.")
    n_starts: int = Field(1, ge=1, le=1000, description="Starts of the solver; the best is kept.")
    device: Device = Field(
        "cpu", description="cpu, auto, cuda or cuda:N; each finds another partition, as good."
    )


class Recording(Section):
    """Which experts count as active, and how documents are processed."""

    top_fraction: ProperFraction = Field(
        0.09765625, description="Share of all experts that is active for a token: 800 of 32 x 256."
    )
    count_special_tokens: bool = Field(False, description="Count BOS as a token.")
    documents_per_block: int = Field(
        20, ge=1, le=1_000_000, description="Documents whose counts are kept apart, for error bars."
    )
    max_blocks: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Blocks of a language at most; with more documents, block i is added to block i "
        "modulo this.",
    )
    documents_per_segment: int = Field(
        1000,
        ge=1,
        le=10_000_000,
        description="Documents that are sorted by length together, between two savings: a killed job "
        "resumes there.",
    )
    documents_per_shard: int = Field(
        0, ge=0, le=10_000_000, description="Documents of one job; 0: one job per language."
    )
    token_types: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Most frequent tokens of a language whose counts are kept apart, for classes of tokens; "
        "0: none.",
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        "stop",
        description="What to do about NaN or infinite activations; skip leaves such documents out "
        "and counts them.",
    )
    controls: Annotated[list[Annotated[str, OneOf(CUTS)]], Unique] = Field(
        ["random", "contiguous"],
        description="Control partitions, cut in these ways and recorded in the same pass.",
    )
    other_partitions: int = Field(
        2,
        ge=0,
        le=100,
        description="Partitions as the study's own with other seeds, recorded in the same pass: intervals of "
        "claims and distances are over documents and partitions; 0: over documents alone.",
    )


class Sharing(Section):
    """Which experts a language uses often."""

    threshold: Fraction = Field(0.05, description="Frequency from which an expert is high-frequency.")


class Responses(Section):
    """Continuations by dense and pruned model, and people's judgements of them, for `snakemake full`."""

    prompts: int = Field(
        20, ge=1, le=100_000, description="Held-out documents of each language that are continued."
    )
    prompt_tokens: int = Field(
        12, ge=1, le=4096, description="Tokens of a prompt at most; never more than half of the document."
    )
    new_tokens: int = Field(24, ge=1, le=4096, description="Tokens of a continuation at most.")
    judged: Literal["pruned", "compensated"] = Field(
        "pruned",
        description="Model whose responses people compare with those of the dense one: plain removal, as in "
        "the paper, or compensated.",
    )
    annotations: Text = Field(
        "annotations/{model}/**/*.json",
        description="Path pattern of the files that annotators exported; {model} stands for the "
        "model's name.",
    )


class Sweep(Section):
    """Other settings of the recording, for `snakemake full`, out of one more pass."""

    top_fractions: Annotated[list[ProperFraction], Unique] = Field(
        [0.05, 0.2],
        description="Shares of all experts active for a token, in addition to recording.top_fraction.",
    )
    n_experts: Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Unique] = Field(
        [64, 128, 512], description="Experts of each layer, in addition to experts.n_experts."
    )
    scores: Annotated[list[Literal["absolute", "output_norm"]], Unique] = Field(
        [],
        description="Scores of an expert other than the signed sum of its activations: the sum of absolute "
        "activations, the norm of its output.",
    )


class Evidence(Section):
    """How sure the findings are (docs/evidence.md); nothing is recorded for it but the sweep."""

    replicates: int = Field(500, ge=100, le=100_000, description="Bootstrap samples of blocks of documents.")
    splits: int = Field(
        50, ge=10, le=10_000, description="Random halves of each language, for the noise floor."
    )
    specific_experts: int = Field(
        20, ge=1, le=65_536, description="Most specific experts to name for each language."
    )
    other_thresholds: list[Fraction] = Field(
        [0.02, 0.1], description="Thresholds to try besides sharing.threshold: does a conclusion change?"
    )
    sweep: Sweep = Field(Sweep(), description=Sweep.__doc__)


class Gpus(Section):
    """How jobs share GPUs; no result depends on it."""

    jobs_per_gpu: int = Field(
        1, ge=1, le=64, description="Jobs that share a GPU; more for small models. Timings share with none."
    )


class Figures(Section):
    """How figures look; nothing that is computed."""

    colormap: ColorMap = Field(
        "viridis", description="Perceptually uniform colour map of matplotlib; _r reverses it."
    )
    dpi: int = Field(200, ge=10, le=1200, description="Resolution of PNG files, dots per inch.")


class Study(Section):
    """The whole configuration."""

    models: Annotated[list[ModelName], Field(min_length=1, max_length=50), Unique] = Field(
        description="Models to study, by their names in model_definitions."
    )
    languages: Annotated[list[Code], Field(min_length=2, max_length=1000), Unique] = Field(
        description="Codes of resources/languages.tsv; add a line there for a language of your own."
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Decides sampling, clustering and random controls.")
    model_definitions: Annotated[dict[ModelName, ModelDefinition], Field(min_length=1)] = Field(
        description="Models by name."
    )
    corpus: Corpus = Field(description=Corpus.__doc__)
    experts: Experts = Field(Experts(), description=Experts.__doc__)
    recording: Recording = Field(Recording(), description=Recording.__doc__)
    contexts: Contexts = Field(Contexts(), description=Contexts.__doc__)
    explorer: Explorer = Field(Explorer(), description=Explorer.__doc__)
    sharing: Sharing = Field(Sharing(), description=Sharing.__doc__)
    pruning: Pruning = Field(Pruning(), description=Pruning.__doc__)
    selectors: Selectors = Field(Selectors(), description=Selectors.__doc__)
    perplexity: Perplexity = Field(Perplexity(), description=Perplexity.__doc__)
    responses: Responses = Field(Responses(), description=Responses.__doc__)
    evidence: Evidence = Field(Evidence(), description=Evidence.__doc__)
    gpus: Gpus = Field(Gpus(), description=Gpus.__doc__)
    figures: Figures = Field(Figures(), description=Figures.__doc__)
