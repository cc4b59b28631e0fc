"""Adaptor of rule summarise_annotations."""

from babelscope.files.tables import write_table
from babelscope.responses.agreement import summarise_annotations
from babelscope.study.job import run_job


def main(smk):
    rows = summarise_annotations(smk.input.annotations)
    write_table(smk.output[0], rows, tuple(rows[0]))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
