"""Adaptor of rule judge_claims."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_claims
from babelscope.evidence.pruning_claims import join_claims
from babelscope.files.tables import read_table, write_table
from babelscope.files.whole import read_json
from babelscope.study.job import run_job


def main(smk):
    recordings = read_claims(read_table(smk.input.recordings, CLAIM_COLUMNS))
    pruning = [read_json(path) for path in smk.input.pruning]
    speed = read_table(smk.input.speed, ("phase", "ratio"))
    rows = join_claims(recordings, pruning, speed, read_json(smk.input.paper))
    write_table(smk.output[0], rows, CLAIM_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
