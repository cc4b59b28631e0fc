"""Adaptor of rule compare_routing."""

from babelscope.evidence.figures.routing import plot_routing_of_models
from babelscope.evidence.routing import SUMMARY_COLUMNS, summarise_routing
from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import read_table, write_table
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    tables = {m: read_table(path) for m, path in zip(job.params.models, job.input, strict=True)}
    write_table(job.output.table, summarise_routing(tables), SUMMARY_COLUMNS)
    figure = plot_routing_of_models(tables)
    save_figure(figure, [job.output.png, job.output.svg], Look(**job.params.look))


run_job(main, globals())
