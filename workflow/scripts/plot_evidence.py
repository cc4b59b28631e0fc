"""Adaptor of rule plot_evidence."""

from babelscope.evidence.figures.every import evidence_figures, read_evidence
from babelscope.figures.style import Look, save_figures
from babelscope.study.job import run_job
from babelscope.study.languages import select_languages


def main(smk):
    look, languages = Look(**smk.params.look), select_languages(smk.input.languages, smk.params.languages)
    evidence = read_evidence(smk.input, smk.wildcards.model, smk.params.languages)
    figures = evidence_figures(*evidence, languages, smk.wildcards.model, look)
    save_figures(figures, [*smk.output.png, *smk.output.svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
