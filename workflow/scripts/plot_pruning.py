"""Adaptor of rule plot_pruning."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import read_json
from babelscope.pruning.figures import plot_losses
from babelscope.study.job import run_job


def main(smk):
    look = Look(**smk.params.look)
    results = [read_json(path) for path in smk.input]
    figure = plot_losses(results, smk.params.names, smk.wildcards.model)
    save_figure(figure, [smk.output.svg, smk.output.png], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
