"""Adaptor of rule compare_corpora."""

from babelscope.evidence.corpus_study import write_corpus_study
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    p, languages = job.params, select_languages(job.input.languages, job.params.languages)
    write_corpus_study(job.input, job.output, job.wildcards.model, languages, p.derived, **p.settings)


run_job(main, globals())
