"""Adaptor of rule tabulate_frontier."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import write_text
from babelscope.pruning.figures import plot_frontier
from babelscope.pruning.tables import FRONTIER, frontier_table, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    found = read_languages_of(job.input, FRONTIER, job.wildcards.model, job.params.languages)
    rows = [{"language": one["language"], **row} for one in found for row in one["rows"]]
    write_text(job.output.table, frontier_table(rows))
    look = Look(**job.params.look)
    figure = plot_frontier(rows, job.params.names, job.wildcards.model)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
