"""Adaptor of rule plot_clustering."""

from babelscope.experts.figures import plot_clustering
from babelscope.experts.layer_file import read_layer_sse
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import run_job


def main(smk):
    look = Look(**smk.params.look)
    layers = read_layer_sse(smk.input.layers, smk.wildcards.model)
    figure = plot_clustering(layers, smk.wildcards.model)
    save_figure(figure, [smk.output.png, smk.output.svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
