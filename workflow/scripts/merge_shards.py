"""Adaptor of rule merge_shards."""

from babelscope.recording.shards import ShardedLanguage
from babelscope.study.job import Job, run_job
from babelscope.text.token_file import open_tokens


def main(job: Job) -> None:
    names = (job.wildcards.model, job.wildcards.lang)
    with open_tokens(job.input.tokens, *names) as corpus:
        ShardedLanguage(corpus, *names, **job.params.cut).merge_to_files(job.input, dict(job.output.items()))


run_job(main, globals())
