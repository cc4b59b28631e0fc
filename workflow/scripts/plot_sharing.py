"""Adaptor of rule plot_sharing."""

from babelscope.comparison.figures import plot_sharing
from babelscope.comparison.sharing import read_sharing
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look, model, p = Look(**job.params.look), job.wildcards.model, job.params
    n_languages_high, languages, _ = read_sharing(job.input.sharing, model, p.languages, p.threshold)
    figure = plot_sharing(n_languages_high, len(languages), p.threshold, model, look)
    save_figure(figure, [job.output.png, job.output.svg], look)


run_job(main, globals())
