"""Adaptor of rule tabulate_frontier."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import write_table
from babelscope.pruning.figures import plot_frontier
from babelscope.pruning.tables import FRONTIER, FRONTIER_COLUMNS, read_languages_of, rows_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    found = read_languages_of(job.input, FRONTIER, job.wildcards.model, job.params.languages)
    rows = rows_of(found)
    write_table(job.output.table, rows, FRONTIER_COLUMNS)
    look = Look(**job.params.look)
    figure = plot_frontier(rows, job.params.names, job.wildcards.model)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
