"""Adaptor of rule tabulate_matrix."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import read_json, write_text
from babelscope.pruning.figures import plot_matrix
from babelscope.pruning.tables import excess_matrix, matrix_rows, matrix_table
from babelscope.study.job import run_job


def main(smk):
    results = [read_json(path) for path in smk.input]
    rows = [row for result in results for row in matrix_rows(result["language"], result, smk.params.seed)]
    write_text(smk.output.table, matrix_table(rows))
    look = Look(**smk.params.look)
    panels = {name: excess_matrix(rows, name) for name in smk.params.selections}
    figure = plot_matrix(panels, smk.params.names, smk.wildcards.model, look)
    save_figure(figure, [smk.output.svg, smk.output.png], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
