"""Adaptor of rule plot_sharing."""

from babelscope.figures.heatmaps import plot_sharing
from babelscope.figures.style import Look, save_figure
from babelscope.files import read_sharing
from babelscope.job import run_job


def main(smk):
    look = Look(**smk.params.look)
    n_languages_high, languages, threshold = read_sharing(smk.input.sharing, smk.wildcards.model)
    figure = plot_sharing(n_languages_high, len(languages), threshold, smk.wildcards.model, look)
    save_figure(figure, [smk.output.png, smk.output.svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
