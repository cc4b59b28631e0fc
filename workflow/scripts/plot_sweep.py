"""Adaptor of rule plot_sweep."""

from babelscope.evidence.figures.experts import plot_robustness
from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import read_table
from babelscope.study.job import run_job


def main(smk):
    look = Look(**smk.params.look)
    sweep, claims = read_table(smk.input.sweep), read_table(smk.input.claims)
    figure = plot_robustness(sweep, claims, smk.wildcards.model)
    save_figure(figure, [smk.output.png, smk.output.svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
