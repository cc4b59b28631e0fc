"""Adaptor of rule judge_frontier."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import judge_frontier
from babelscope.files.tables import read_table, write_table
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    frontier = read_table(job.input.frontier, ("language", "method", "share", "nll"))
    write_table(job.output[0], judge_frontier(read_criteria(job.input.criteria), frontier), CLAIM_COLUMNS)


run_job(main, globals())
