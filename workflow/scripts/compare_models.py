"""Adaptor of rule compare_models."""

from babelscope.evidence.figures.experts import model_figures
from babelscope.evidence.models import AGREEMENT_COLUMNS, compare_all, side_by_side
from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import read_table, write_table
from babelscope.study.job import run_job
from babelscope.study.languages import read_languages


def main(smk):
    models, look = list(smk.params.models), Look(**smk.params.look)
    pairs = {name: read_table(path) for name, path in zip(models, smk.input.pairs, strict=True)}
    claims = {name: read_table(path) for name, path in zip(models, smk.input.claims, strict=True)}
    known = read_languages(smk.input.languages)
    languages = [known[code] for code in smk.params.languages]
    agreement, distances = compare_all(pairs, [row.code for row in languages], smk.params.seed)
    write_table(smk.output.agreement, agreement, AGREEMENT_COLUMNS)
    write_table(smk.output.claims, *side_by_side(claims))
    for figure, png, svg in zip(
        model_figures(agreement, distances, languages, look), smk.output.png, smk.output.svg, strict=True
    ):
        save_figure(figure, [png, svg], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
