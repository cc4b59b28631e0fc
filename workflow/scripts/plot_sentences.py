"""Adaptor of rule plot_sentences."""

from babelscope.evidence.figures.corpora import plot_sentences
from babelscope.evidence.sentences import read_sentences
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    look, languages = Look(**job.params.look), select_languages(job.input.languages, job.params.languages)
    excess, retrieved, _ = read_sentences(job.input.layers, job.wildcards.model)
    figure = plot_sentences(excess, retrieved, languages, job.wildcards.model, look)
    save_figure(figure, [job.output.svg, job.output.png], look)


run_job(main, globals())
