"""Adaptor of rule derive_corpus."""

from babelscope.study.job import Job, run_job
from babelscope.text.derive import derive_documents
from babelscope.text.documents import read_documents, write_documents


def main(job: Job) -> None:
    base = job.wildcards.lang.partition(".")[0]
    documents = read_documents(job.input[0], base)
    derived = derive_documents(documents, base, job.params.derivation, job.params.seed)
    write_documents(job.output[0], derived, job.wildcards.lang)


run_job(main, globals())
