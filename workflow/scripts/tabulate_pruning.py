"""Adaptor of rule tabulate_pruning."""

from babelscope.files.whole import read_json, write_text
from babelscope.pruning.tables import tabulate_pruning
from babelscope.study.job import run_job


def main(smk):
    write_text(smk.output[0], tabulate_pruning([read_json(path) for path in smk.input]))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
