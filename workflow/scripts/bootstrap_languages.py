"""Adaptor of rule bootstrap_languages."""

from babelscope.evidence.intervals import write_bootstrap
from babelscope.recording.counts import read_recordings
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    params, languages = job.params, select_languages(job.input.languages, job.params.languages)
    counts = read_recordings(job.input.activations, job.wildcards.model, params.languages)
    write_bootstrap(counts, languages, job.input.paper, job.output, job.wildcards.model, **params.settings)


run_job(main, globals())
