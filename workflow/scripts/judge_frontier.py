"""Adaptor of rule judge_frontier."""

from babelscope.evidence.claims import CLAIM_COLUMNS
from babelscope.evidence.pruning_claims import judge_frontier
from babelscope.evidence.tables import read_table, write_table
from babelscope.job import run_job
from babelscope.store import read_json


def main(smk):
    frontier = read_table(smk.input.frontier, ("language", "method", "share", "nll"))
    write_table(smk.output[0], judge_frontier(frontier, read_json(smk.input.paper)), CLAIM_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
