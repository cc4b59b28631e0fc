"""Adaptor of rule tabulate_selectors."""

from babelscope.figures.style import Look, save_figure
from babelscope.files.tables import write_table
from babelscope.pruning.figures import plot_selectors
from babelscope.pruning.selector_table import SELECTOR_COLUMNS, tabulate_selectors
from babelscope.pruning.tables import SELECTORS_TEST, read_languages_of
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model = job.wildcards.model
    results = read_languages_of(job.input, SELECTORS_TEST, model, job.params.languages)
    rows = tabulate_selectors({found["language"]: found for found in results}, job.params.seed)
    write_table(job.output.table, rows, SELECTOR_COLUMNS)
    save_figure(plot_selectors(rows, model), [job.output.svg, job.output.png], Look(**job.params.look))


run_job(main, globals())
