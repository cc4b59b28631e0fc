"""Adaptor of rule tabulate_pruning."""

from babelscope.files.tables import write_table
from babelscope.files.whole import read_json, write_text
from babelscope.pruning.control_tables import CONTROL_COLUMNS, summarise_controls
from babelscope.pruning.tables import tabulate_pruning
from babelscope.study.job import run_job


def main(smk):
    results = [read_json(path) for path in smk.input]
    write_text(smk.output.table, tabulate_pruning(results))
    write_table(smk.output.controls, summarise_controls(results), CONTROL_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
