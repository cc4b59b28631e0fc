"""Adaptor of rule plot_evidence."""

from babelscope.evidence.figures.every import evidence_figures, read_evidence
from babelscope.figures.style import Look, save_figures
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    look, languages = Look(**job.params.look), select_languages(job.input.languages, job.params.languages)
    evidence = read_evidence(job.input, job.wildcards.model, job.params.languages, job.params.threshold)
    figures = evidence_figures(*evidence, languages, job.wildcards.model, look)
    save_figures(figures, [*job.output.png, *job.output.svg], look)


run_job(main, globals())
