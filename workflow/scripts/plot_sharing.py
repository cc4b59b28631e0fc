"""Adaptor of rule plot_sharing."""

from babelscope.comparison.figures import plot_sharing
from babelscope.comparison.sharing import read_sharing
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import run_job


def main(smk):
    look = Look(**smk.params.look)
    n_languages_high, languages, threshold = read_sharing(smk.input.sharing, smk.wildcards.model)
    figure = plot_sharing(n_languages_high, len(languages), threshold, smk.wildcards.model, look)
    save_figure(figure, [smk.output.png, smk.output.svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
