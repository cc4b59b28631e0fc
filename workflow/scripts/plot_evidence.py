"""Adaptor of rule plot_evidence."""

from babelscope.evidence.figures.every import evidence_figures
from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import read_table
from babelscope.files.whole import read_json
from babelscope.study.job import run_job
from babelscope.study.languages import read_languages

TABLES = ("pairs", "noise", "curve", "families", "layers", "experts", "claims", "robustness")


def main(smk):
    look, known = Look(**smk.params.look), read_languages(smk.input.languages)
    languages = [known[code] for code in smk.params.languages]
    tables = {name: read_table(getattr(smk.input, name)) for name in TABLES}
    paths = {name: pair for name, *pair in zip(smk.params.names, smk.output.png, smk.output.svg, strict=True)}
    figures = evidence_figures(tables, read_json(smk.input.trees), languages, smk.wildcards.model, look)
    for name, figure in figures:
        save_figure(figure, paths[name], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
