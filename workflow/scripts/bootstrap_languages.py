"""Adaptor of rule bootstrap_languages."""

from babelscope.evidence.intervals import write_bootstrap
from babelscope.recording.counts import read_recordings
from babelscope.study.job import run_job
from babelscope.study.languages import select_languages


def main(smk):
    params, languages = smk.params, select_languages(smk.input.languages, smk.params.languages)
    counts = read_recordings(smk.input.activations, smk.wildcards.model, params.languages)
    write_bootstrap(counts, languages, smk.input.paper, smk.output, smk.wildcards.model, **params.settings)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
