"""Adaptor of rule plot_sharing."""

from babelscope.comparison.figures import plot_sharing
from babelscope.comparison.sharing import read_sharing
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look = Look(**job.params.look)
    n_languages_high, languages, threshold = read_sharing(job.input.sharing, job.wildcards.model)
    figure = plot_sharing(n_languages_high, len(languages), threshold, job.wildcards.model, look)
    save_figure(figure, [job.output.png, job.output.svg], look)


run_job(main, globals())
