"""Adaptor of rule tabulate_routed."""

from babelscope.files.tables import write_table
from babelscope.pruning.routed_tables import ROUTED_COLUMNS, ROUTED_PRUNING, tabulate_routed
from babelscope.pruning.tables import read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    results = read_languages_of(job.input, ROUTED_PRUNING, job.wildcards.model, job.params.languages)
    write_table(job.output[0], tabulate_routed(results), ROUTED_COLUMNS)


run_job(main, globals())
