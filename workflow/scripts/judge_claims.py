"""Adaptor of rule judge_claims."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import join_claims
from babelscope.evidence.robustness import read_main
from babelscope.files.tables import read_table, write_table
from babelscope.files.whole import read_json
from babelscope.pruning.tables import PRUNING, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    paths, model, codes = job.input, job.wildcards.model, job.params.languages
    criteria, paper = read_criteria(paths.criteria), read_json(paths.paper)
    recordings = read_main(paths, model, codes).main_rows(criteria, paper)
    pruning = read_languages_of(paths.pruning, PRUNING, model, codes) if paths.pruning else []
    speed = read_table(paths.speed, ("phase", "ratio", "noisy")) if paths.speed else []
    write_table(job.output[0], join_claims(criteria, recordings, pruning, speed, paper), CLAIM_COLUMNS)


run_job(main, globals())
