"""Adaptor of rule bootstrap_languages."""

from babelscope.evidence.intervals import write_bootstrap
from babelscope.recording.counts import read_recordings
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    model, codes = job.wildcards.model, job.params.languages
    languages = select_languages(job.input.languages, codes)
    counts = read_recordings(job.input.activations, model, codes)
    others = {name: read_recordings(job.input[name], model, codes, name) for name in job.params.partitions}
    paths = (job.input.paper, job.output)
    write_bootstrap(counts, others, languages, *paths, model, **job.params.settings)


run_job(main, globals())
