"""Adaptor of rule sample_corpus."""

import os

os.environ["USE_TORCH"] = "0"  # `datasets` would load it, seconds of every job, and use it for nothing

from babelscope.study.job import Job, run_job
from babelscope.text.documents import sample_documents, write_documents


def main(job: Job) -> None:
    language = job.wildcards.lang.partition(".")[0]  # of a domain, en.news, too
    documents = sample_documents(language, job.params.source, seed=job.params.seed, **job.params.sampling)
    write_documents(job.output[0], documents, job.wildcards.lang)


run_job(main, globals(), network=True)
