"""Adaptor of rule judge_claims."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import join_claims
from babelscope.evidence.robustness import read_main
from babelscope.files.tables import read_table, write_table
from babelscope.files.whole import read_json
from babelscope.pruning.tables import PRUNING, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    criteria, paper = read_criteria(job.input.criteria), read_json(job.input.paper)
    recordings = read_main(job.input, job.wildcards.model, job.params.languages).main_rows(criteria, paper)
    pruning = read_languages_of(job.input.pruning, PRUNING, job.wildcards.model, job.params.languages)
    speed = read_table(job.input.speed, ("phase", "ratio", "noisy"))
    write_table(job.output[0], join_claims(criteria, recordings, pruning, speed, paper), CLAIM_COLUMNS)


run_job(main, globals())
