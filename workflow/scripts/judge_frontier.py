"""Adaptor of rule judge_frontier."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_criteria
from babelscope.evidence.pruning_claims import judge_frontier
from babelscope.files.tables import read_table, write_table
from babelscope.study.job import run_job


def main(smk):
    frontier = read_table(smk.input.frontier, ("language", "method", "share", "nll"))
    write_table(smk.output[0], judge_frontier(read_criteria(smk.input.criteria), frontier), CLAIM_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
