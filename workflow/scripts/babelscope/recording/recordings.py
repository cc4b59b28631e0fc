"""The recordings of all languages of a study, as jobs that compare languages read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from babelscope.recording.counts import ActivationCounts
from babelscope.recording.together import read_files, read_recordings
from babelscope.study.job import Job
from babelscope.text.token_file import open_tokens
from babelscope.text.tokens import documents_digest


class Recordings:
    """Recordings of a job's languages, which must be of the documents that the study holds now.

    Parameters
    ----------
    job : its parameter ``languages`` has codes; its input ``tokens`` has a file for each of them, and so have
        ``activations`` and the inputs that are named after variants.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def documents(self) -> list[str]:
        """For each language the digest of its profile documents."""
        digests = []
        for path, language in zip(self.job.input.tokens, self.job.params.languages, strict=True):
            with open_tokens(path, self.job.wildcards.model, language) as corpus:
                digests.append(documents_digest(corpus, corpus.profile_idx))
        return digests

    @cached_property
    def main(self) -> list[ActivationCounts]:
        """The study's own, one per language."""
        return self._read(self.job.input.activations, "main")

    @cached_property
    def sentences(self) -> dict[str, ActivationCounts] | None:
        """By language one block per document, where the text of all languages is parallel; else None."""
        languages = self.job.params.languages
        asked = (self.job.wildcards.model, languages, "main", self.documents)
        found = read_files(self.job.input.activations, *asked).by_language
        return found if all(count.unit is not None for count in found.values()) else None

    def of(self, variants: Iterable[str]) -> dict[str, list[ActivationCounts]]:
        """Those of some variants by name.

        Raises
        ------
        BabelscopeError
            Where a file is damaged, or is of another model, language, variant or of other documents.
        """
        return {name: self._read(self.job.input[name], name) for name in variants}

    def of_domains(
        self, paths: Sequence[str], domains: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, ActivationCounts]]:
        """Second corpora: by name, by language.

        Parameters
        ----------
        paths : one file per corpus. domains : by name the corpora ``{lang}.{name}``, in their order.
        """
        names = [corpus for corpora in domains.values() for corpus in corpora]
        if not names:
            return {}
        counts = dict(zip(names, read_recordings(paths, self.job.wildcards.model, names), strict=True))
        return {
            name: {corpus.partition(".")[0]: counts[corpus] for corpus in corpora}
            for name, corpora in domains.items()
        }

    def _read(self, paths: list[str], variant: str) -> list[ActivationCounts]:
        asked = (self.job.wildcards.model, self.job.params.languages, variant, self.documents)
        return read_recordings(paths, *asked)
