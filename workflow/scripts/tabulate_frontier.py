"""Adaptor of rule tabulate_frontier."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import read_json, write_text
from babelscope.pruning.figures import plot_frontier
from babelscope.pruning.tables import frontier_table
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    rows = [row for path in job.input for row in read_json(path)]
    write_text(job.output.table, frontier_table(rows))
    look = Look(**job.params.look)
    figure = plot_frontier(rows, job.params.names, job.wildcards.model)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
