"""Adaptor of rule plot_frequency."""

from babelscope.comparison.figures import frequency_figures
from babelscope.comparison.frequency import read_frequency
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import run_job


def main(smk):
    look, names = Look(**smk.params.look), smk.params.names
    frequency, languages = read_frequency(smk.input.frequency, smk.wildcards.model)
    figures = frequency_figures(frequency, [names[code] for code in languages], smk.wildcards.model, look)
    for number, figure in enumerate(figures):
        save_figure(figure, [smk.output.png[number], smk.output.svg[number]], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
