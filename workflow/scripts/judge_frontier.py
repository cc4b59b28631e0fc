"""Adaptor of rule judge_frontier."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import judge_frontier
from babelscope.files.tables import write_table
from babelscope.pruning.tables import FRONTIER, read_languages_of, rows_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    found = read_languages_of(job.input.frontier, FRONTIER, job.wildcards.model, job.params.languages)
    rows = judge_frontier(read_criteria(job.input.criteria), rows_of(found))
    write_table(job.output[0], rows, CLAIM_COLUMNS)


run_job(main, globals())
