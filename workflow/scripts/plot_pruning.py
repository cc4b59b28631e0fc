"""Adaptor of rule plot_pruning."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import read_json
from babelscope.pruning.figures import plot_losses
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look = Look(**job.params.look)
    results = [read_json(path) for path in job.input]
    figure = plot_losses(results, job.params.names, job.wildcards.model)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
