"""Adaptor of rule tabulate_matrix."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.whole import read_json, write_text
from babelscope.pruning.figures import plot_matrix
from babelscope.pruning.tables import excess_matrix, matrix_rows, matrix_table
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    results = [read_json(path) for path in job.input]
    rows = [row for result in results for row in matrix_rows(result["language"], result, job.params.seed)]
    write_text(job.output.table, matrix_table(rows))
    look = Look(**job.params.look)
    panels = {name: excess_matrix(rows, name) for name in job.params.selections}
    figure = plot_matrix(panels, job.params.names, job.wildcards.model, look)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
