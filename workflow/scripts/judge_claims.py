"""Adaptor of rule judge_claims."""

from babelscope.evidence.claims import read_criteria, write_claims
from babelscope.evidence.pruning_claims import join_claims, read_pruning
from babelscope.evidence.robustness import read_main
from babelscope.files.whole import read_json
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    criteria, paper = read_criteria(job.input.criteria), read_json(job.input.paper)
    model, codes = job.wildcards.model, job.params.languages
    recordings = read_main(job.input, model, codes).main_rows(criteria, paper)
    pruned = read_pruning(job.input, model, codes, job.params.choice)
    write_claims(job.output, join_claims(criteria, recordings, *pruned, paper), model, codes)


run_job(main, globals())
