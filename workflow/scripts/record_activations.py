"""Adaptor of rule record_activations."""

from babelscope.recording.files import read_partitions, record_to_files
from babelscope.recording.job_files import JobFiles
from babelscope.recording.record import make_variants
from babelscope.recording.shards import shard_documents
from babelscope.study.job import Job, run_job
from babelscope.text.token_file import open_tokens


def main(job: Job) -> None:
    files, p, lang = JobFiles(job), job.params, job.wildcards.lang
    partitions = read_partitions(files.info, job.input.experts, job.input.partitions, p.partitions)
    variants, outputs = make_variants(partitions, p.top_fraction), dict(job.output.items())
    with open_tokens(job.input.tokens, files.info.name, lang) as corpus:
        documents = (corpus, shard_documents(corpus, job.wildcards.get("shard"), p.documents_per_shard))
        record_to_files(files.info, files.compute, p.recording, *documents, variants, outputs, lang, p.code)


run_job(main, globals())
