"""Adaptor of rule judge_claims."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import join_claims
from babelscope.evidence.robustness import read_main
from babelscope.files.tables import read_table, write_table
from babelscope.files.whole import read_json
from babelscope.study.job import run_job


def main(smk):
    criteria, paper = read_criteria(smk.input.criteria), read_json(smk.input.paper)
    recordings = read_main(smk.input, smk.wildcards.model, smk.params.languages).main_rows(criteria, paper)
    pruning = [read_json(path) for path in smk.input.pruning]
    speed = read_table(smk.input.speed, ("phase", "ratio", "noisy"))
    write_table(smk.output[0], join_claims(criteria, recordings, pruning, speed, paper), CLAIM_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
