"""Adaptor of rule record_sweep."""

from babelscope.recording.files import read_partitions, record_to_files
from babelscope.recording.job_files import JobFiles
from babelscope.recording.record import make_variants
from babelscope.study.job import Job, run_job
from babelscope.text.token_file import open_tokens


def main(job: Job) -> None:
    files, p, lang = JobFiles(job), job.params, job.wildcards.lang
    partitions = read_partitions(files.info, job.input.experts, job.input.partitions, p.partitions)
    variants = make_variants(partitions, p.top_fraction, p.top_fractions, p.scores)
    outputs = dict(job.output.items())
    with open_tokens(job.input.tokens, files.info.name, lang) as corpus:
        documents = (corpus, corpus.profile_idx)
        record_to_files(files.info, files.compute, p.recording, *documents, variants, outputs, lang, p.code)


run_job(main, globals())
