"""Adaptor of rule plot_frequency."""

from babelscope.comparison.figures import frequency_figures
from babelscope.comparison.frequency import read_frequency
from babelscope.figures.style import Look, save_in_turn
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look, names = Look(**job.params.look), job.params.names
    frequency, languages = read_frequency(job.input.frequency, job.wildcards.model, list(names))
    figures = frequency_figures(frequency, [names[code] for code in languages], job.wildcards.model, look)
    save_in_turn(figures, job.output, look)


run_job(main, globals())
