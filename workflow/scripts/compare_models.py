"""Adaptor of rule compare_models."""

from babelscope.evidence.figures.experts import model_figures
from babelscope.evidence.models import compare_all, read_models, write_models
from babelscope.figures.style import Look, save_figures
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    languages, look = select_languages(job.input.languages, job.params.languages), Look(**job.params.look)
    distances, claims = read_models(job.input, job.params.models, job.params.languages)
    agreement = compare_all(distances, job.params.seed)
    write_models(job.output, agreement, claims)
    figures = model_figures(agreement, distances, languages)
    save_figures(figures, [*job.output.png, *job.output.svg], look)


run_job(main, globals())
