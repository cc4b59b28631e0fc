"""Adaptor of rule merge_shards."""

from babelscope.recording.shards import merge_to_files
from babelscope.study.job import Job, run_job
from babelscope.text.token_file import open_tokens


def main(job: Job) -> None:
    said = {"model": job.wildcards.model, "language": job.wildcards.lang}
    with open_tokens(job.input.tokens, **said) as corpus:
        merge_to_files(job.input, dict(job.output.items()), corpus, job.params.cut, **said)


run_job(main, globals())
