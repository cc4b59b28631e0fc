"""Adaptor of rule sample_corpus."""

from babelscope.study.job import Job, run_job
from babelscope.text.documents import sample_documents, write_documents


def main(job: Job) -> None:
    documents = sample_documents(
        job.wildcards.lang, job.params.source, seed=job.params.seed, **job.params.sampling
    )
    write_documents(job.output[0], documents)


run_job(main, globals(), network=True)
