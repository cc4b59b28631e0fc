"""Adaptor of rule write_claims_page."""

from babelscope.evidence.page import claims_page, read_page
from babelscope.files.whole import write_text
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model = job.wildcards.model
    write_text(job.output[0], claims_page(*read_page(job.input, model, job.params.languages), model))


run_job(main, globals())
