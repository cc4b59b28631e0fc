"""Adaptor of rule tabulate_frontier."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import read_json, write_text
from babelscope.pruning.figures import plot_frontier
from babelscope.pruning.tables import frontier_table
from babelscope.study.job import run_job


def main(smk):
    rows = [row for path in smk.input for row in read_json(path)]
    write_text(smk.output.table, frontier_table(rows))
    look = Look(**smk.params.look)
    figure = plot_frontier(rows, smk.params.names, smk.wildcards.model)
    save_figure(figure, [smk.output.svg, smk.output.png], look)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
