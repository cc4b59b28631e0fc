"""Adaptor of rule plot_similarity."""

from babelscope.comparison.figures import similarity_figures
from babelscope.comparison.similarity import read_similarity
from babelscope.figures.style import Look, save_figure
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look, names = Look(**job.params.look), job.params.names
    similarity, languages = read_similarity(job.input.similarity, job.wildcards.model)
    figures = similarity_figures(similarity, [names[code] for code in languages], job.wildcards.model, look)
    for number, figure in enumerate(figures):
        save_figure(figure, [job.output.png[number], job.output.svg[number]], look)


run_job(main, globals())
