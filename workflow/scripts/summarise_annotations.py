"""Adaptor of rule summarise_annotations."""

from babelscope.files.tables import write_table
from babelscope.responses.agreement import summarise_annotations
from babelscope.responses.page import page_digests
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, p = job.wildcards.model, job.params
    digests = page_digests(job.input.responses, model, p.languages, p.judged, p.seed)
    rows = summarise_annotations(job.input.annotations, digests, model)
    write_table(job.output[0], rows, tuple(rows[0]))


run_job(main, globals())
