"""Adaptor of rule plot_pruning."""

from babelscope.figures.pruning import plot_losses
from babelscope.figures.style import Look, save_figure
from babelscope.job import run_job
from babelscope.store import read_json


def main(smk):
    look = Look(**smk.params.look)
    results = [read_json(path) for path in smk.input]
    figure = plot_losses(results, smk.params.names, smk.wildcards.model, look)
    save_figure(figure, [smk.output.svg, smk.output.png], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
