"""Adaptor of rule tabulate_pruning."""

from babelscope.files.tables import write_table
from babelscope.files.whole import read_json, write_text
from babelscope.pruning.control_tables import CONTROL_COLUMNS, summarise_controls
from babelscope.pruning.tables import tabulate_pruning
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    results = [read_json(path) for path in job.input]
    write_text(job.output.table, tabulate_pruning(results))
    write_table(job.output.controls, summarise_controls(results), CONTROL_COLUMNS)


run_job(main, globals())
