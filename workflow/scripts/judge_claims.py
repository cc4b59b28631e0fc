"""Adaptor of rule judge_claims."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import join_claims, read_pruning
from babelscope.evidence.robustness import read_main
from babelscope.files.tables import write_table
from babelscope.files.whole import read_json
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    criteria, paper = read_criteria(job.input.criteria), read_json(job.input.paper)
    recordings = read_main(job.input, job.wildcards.model, job.params.languages).main_rows(criteria, paper)
    pruned = read_pruning(job.input, job.wildcards.model, job.params.languages)
    write_table(job.output[0], join_claims(criteria, recordings, *pruned, paper), CLAIM_COLUMNS)


run_job(main, globals())
