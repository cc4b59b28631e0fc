"""Adaptor of rule plot_pruning."""

from babelscope.figures.style import Look, save_figure
from babelscope.pruning.figures import plot_losses
from babelscope.pruning.tables import PRUNING, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look, model, p = Look(**job.params.look), job.wildcards.model, job.params
    results = read_languages_of(job.input, PRUNING, model, p.languages, **p.choice)
    figure = plot_losses(results, p.names, model)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
