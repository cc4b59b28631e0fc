"""Adaptor of rule plot_similarity."""

from babelscope.comparison.figures import similarity_figures
from babelscope.comparison.similarity import read_similarity
from babelscope.figures.style import Look, save_in_turn
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    look, names = Look(**job.params.look), job.params.names
    similarity, languages = read_similarity(job.input.similarity, job.wildcards.model, list(names))
    figures = similarity_figures(similarity, [names[code] for code in languages], job.wildcards.model, look)
    save_in_turn(figures, job.output, look)


run_job(main, globals())
