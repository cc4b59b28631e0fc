"""Adaptor of rule summarise_annotations."""

from babelscope.files.tables import write_table
from babelscope.responses.agreement import summarise_annotations
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    rows = summarise_annotations(job.input.annotations)
    write_table(job.output[0], rows, tuple(rows[0]))


run_job(main, globals())
