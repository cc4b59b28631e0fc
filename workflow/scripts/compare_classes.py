"""Adaptor of rule compare_classes."""

from babelscope.evidence.token_classes import write_classes
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    languages = select_languages(job.input.languages, job.params.languages)
    write_classes(job.input, job.output, job.wildcards.model, languages, **job.params.settings)


run_job(main, globals())
