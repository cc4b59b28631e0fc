"""Adaptor of rule plot_routing."""

from babelscope.evidence.figures.routing import plot_routing
from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import read_table
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    figure = plot_routing(read_table(job.input[0]), job.wildcards.model)
    save_figure(figure, [job.output.png, job.output.svg], Look(**job.params.look))


run_job(main, globals())
