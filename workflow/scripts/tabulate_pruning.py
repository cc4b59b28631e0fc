"""Adaptor of rule tabulate_pruning."""

from babelscope.job import run_job
from babelscope.pruning_table import tabulate_pruning
from babelscope.store import read_json, write_text


def main(smk):
    write_text(smk.output[0], tabulate_pruning([read_json(path) for path in smk.input]))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
