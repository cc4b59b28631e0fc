"""Adaptor of rule plot_corpora."""

from babelscope.evidence.corpus_distances import read_corpora
from babelscope.evidence.figures.corpora import plot_corpora
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    look, languages = Look(**job.params.look), select_languages(job.input.languages, job.params.languages)
    corpora, distances, _ = read_corpora(job.input.distances, job.wildcards.model)
    figure = plot_corpora(corpora, distances, languages, job.wildcards.model)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
