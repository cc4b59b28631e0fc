"""Adaptor of rule tabulate_routed."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import write_table
from babelscope.pruning.figures import plot_matrix
from babelscope.pruning.routed_tables import ROUTED_COLUMNS, ROUTED_PRUNING, tabulate_routed
from babelscope.pruning.tables import excess_matrix, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, p = job.wildcards.model, job.params
    rows = tabulate_routed(read_languages_of(job.input, ROUTED_PRUNING, model, p.languages))
    write_table(job.output.table, rows, ROUTED_COLUMNS)
    panels = {name: excess_matrix(rows, name) for name in ("kept", "removed")}
    look = Look(**p.look)
    save_figure(plot_matrix(panels, p.names, model, look), [job.output.svg, job.output.png], look)


run_job(main, globals())
