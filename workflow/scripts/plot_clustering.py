"""Adaptor of rule plot_clustering."""

from babelscope.experts.figures import plot_clustering
from babelscope.experts.layer_file import read_layer_sse
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look = Look(**job.params.look)
    layers = read_layer_sse(job.input.layers, job.wildcards.model)
    figure = plot_clustering(layers, job.wildcards.model)
    save_figure(figure, [job.output.png, job.output.svg], look)


run_job(main, globals())
