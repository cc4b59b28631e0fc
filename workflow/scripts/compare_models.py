"""Adaptor of rule compare_models."""

from babelscope.evidence.figures.experts import model_figures
from babelscope.evidence.models import compare_all, read_models, write_models
from babelscope.figures.style import Look, save_figures
from babelscope.study.job import run_job
from babelscope.study.languages import select_languages


def main(smk):
    languages, look = select_languages(smk.input.languages, smk.params.languages), Look(**smk.params.look)
    distances, claims = read_models(smk.input, smk.params.models, smk.params.languages)
    agreement = compare_all(distances, smk.params.seed)
    write_models(smk.output, agreement, claims)
    figures = model_figures(agreement, distances, languages)
    save_figures(figures, [*smk.output.png, *smk.output.svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
