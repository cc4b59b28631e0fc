"""Adaptor of rule tabulate_matrix."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import write_table
from babelscope.pruning.figures import plot_matrix
from babelscope.pruning.tables import MATRIX, MATRIX_COLUMNS, excess_matrix, matrix_rows, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    results = read_languages_of(job.input, MATRIX, job.wildcards.model, job.params.languages)
    rows = [row for result in results for row in matrix_rows(result["language"], result, job.params.seed)]
    write_table(job.output.table, rows, MATRIX_COLUMNS)
    look = Look(**job.params.look)
    panels = {name: excess_matrix(rows, name) for name in job.params.selections}
    figure = plot_matrix(panels, job.params.names, job.wildcards.model, look)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
