"""Adaptor of rule plot_similarity."""

from babelscope.comparison.figures import similarity_figures
from babelscope.comparison.similarity import read_similarity
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import run_job


def main(smk):
    look, names = Look(**smk.params.look), smk.params.names
    similarity, languages = read_similarity(smk.input.similarity, smk.wildcards.model)
    figures = similarity_figures(similarity, [names[code] for code in languages], smk.wildcards.model, look)
    for number, figure in enumerate(figures):
        save_figure(figure, [smk.output.png[number], smk.output.svg[number]], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
