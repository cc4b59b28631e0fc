"""The files that jobs of several stages read, by the names that rules give them.

Each must be of the job's model and of the language that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from babelscope.experts.partition import ExpertPartition, Partition, read_any_partition, read_partition
from babelscope.model.compute import Compute
from babelscope.model.info import ModelInfo, read_model_info
from babelscope.recording.counts import read_activations
from babelscope.recording.neurons import read_neurons
from babelscope.study.job import Job
from babelscope.text.tokens import TokenizedCorpus, read_tokens


class JobFiles:
    """The files that a job reads, each when it is asked for.

    Parameters
    ----------
    job : its inputs are named ``model``, ``tokens``, ``experts``, ``activations``, ``neurons``; not all rules
        have all.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def info(self) -> ModelInfo:
        """The prepared model."""
        return read_model_info(self.job.input.model, self.job.config["model_definitions"])

    @property
    def compute(self) -> Compute:
        """Settings of computation; those that decide no result come from the configuration alone."""
        limit = self.job.config["model_definitions"][self.info.name]["gpu_memory_gb"]
        return Compute(**self.job.params.compute, gpu_memory_gb=limit)

    @cached_property
    def partition(self) -> ExpertPartition:
        """The study's own experts, which must be groups of neurons."""
        return read_partition(self.job.input.experts, self.info)

    @cached_property
    def experts(self) -> Partition:
        """The study's own experts: groups of neurons, or routed ones."""
        return read_any_partition(self.job.input.experts, self.info)

    @cached_property
    def corpus(self) -> TokenizedCorpus:
        """Documents of the job's language."""
        return self.read_corpus(self.job.input.tokens, self.job.wildcards.lang)

    def corpora(self, languages: Iterable[str], paths: Iterable[str] | None = None) -> list[TokenizedCorpus]:
        """Documents of several languages, one file each, in this order; ``paths``: not the job's tokens."""
        pairs = zip(self.job.input.tokens if paths is None else paths, languages, strict=True)
        return [self.read_corpus(path, language) for path, language in pairs]

    def read_corpus(self, path: str, language: str) -> TokenizedCorpus:
        """Documents of one language."""
        return read_tokens(path, self.info.name, language)

    @cached_property
    def frequency(self) -> np.ndarray:
        """How often the job's language uses each expert, made with its documents and the study's experts."""
        return self.frequency_of(self.job.wildcards.lang, self.corpus)

    def frequency_of(self, language: str, corpus: TokenizedCorpus) -> np.ndarray:
        """As ``frequency``, for a job that reads the documents of several languages."""
        said: dict[str, Any] = {"model": self.info.name, "language": language, "partition": self.partition}
        return read_activations(self.job.input.activations, **said, corpus=corpus).frequency

    @cached_property
    def mean_square(self) -> np.ndarray:
        """Of every neuron's activation on the profile documents of the job's language, (n_layers, d_ff)."""
        said = {"model": self.info.name, "language": self.job.wildcards.lang}
        return read_neurons(self.job.input.neurons, **said, corpus=self.corpus).mean_square

    def others(self, names: Sequence[str]) -> dict[str, tuple[ExpertPartition, np.ndarray]]:
        """Other partitions by name, and how often the job's language uses their experts.

        Parameters
        ----------
        names : in the order of the inputs ``partitions`` and ``partition_activations``.
        """
        found, language = {}, self.job.wildcards.lang
        files = zip(names, self.job.input.partitions, self.job.input.partition_activations, strict=True)
        for name, experts, activations in files:
            partition = read_partition(experts, self.info, name)
            said: dict[str, Any] = {"model": self.info.name, "language": language, "variant": name}
            counts = read_activations(activations, **said, partition=partition, corpus=self.corpus)
            found[name] = (partition, counts.frequency)
        return found

    def frequencies(
        self, languages: Iterable[str], corpora: Iterable[TokenizedCorpus] | None = None
    ) -> dict[str, np.ndarray]:
        """How often each of several languages uses each expert, in this order.

        Parameters
        ----------
        languages : codes, one file each.
        corpora : where they are given, the files must have been made with their documents.

        Returns
        -------
        By language float64 (n_layers, n_experts).
        """
        languages = list(languages)
        documents = [None] * len(languages) if corpora is None else list(corpora)
        said: dict[str, Any] = {"model": self.info.name, "partition": self.partition}
        rows = zip(languages, self.job.input.activations, documents, strict=True)
        return {
            language: read_activations(path, language=language, corpus=corpus, **said).frequency
            for language, path, corpus in rows
        }
