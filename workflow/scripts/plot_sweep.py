"""Adaptor of rule plot_sweep."""

from babelscope.evidence.figures.experts import plot_robustness
from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import read_table
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look = Look(**job.params.look)
    sweep, claims = read_table(job.input.sweep), read_table(job.input.claims)
    figure = plot_robustness(sweep, claims, job.wildcards.model)
    save_figure(figure, [job.output.png, job.output.svg], look)


run_job(main, globals())
