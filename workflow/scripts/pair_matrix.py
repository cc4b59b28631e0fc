"""Adaptor of rule pair_matrix."""

from babelscope.files.tables import write_table
from babelscope.pruning.paired_matrix import PAIRED_COLUMNS, read_paired
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files = (job.input.matrices, job.input.tokens)
    write_table(job.output[0], read_paired(*files, job.wildcards.model, job.params.languages), PAIRED_COLUMNS)


run_job(main, globals())
