"""Adaptor of rule tabulate_pruning."""

from babelscope.files.tables import write_table
from babelscope.pruning.control_tables import CONTROL_COLUMNS, summarise_controls
from babelscope.pruning.tables import PRUNING, pruning_columns, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, p = job.wildcards.model, job.params
    results = read_languages_of(job.input, PRUNING, model, p.languages, **p.choice)
    write_table(job.output.table, results, pruning_columns(results))
    write_table(job.output.controls, summarise_controls(results), CONTROL_COLUMNS)


run_job(main, globals())
