"""Adaptor of rule derive_tokens."""

from babelscope.study.job import Job, run_job
from babelscope.text.derive import derive_tokens
from babelscope.text.tokens import read_tokens, write_tokens


def main(job: Job) -> None:
    model, lang, how = job.wildcards.model, job.wildcards.lang, job.params.derivation
    corpus = read_tokens(job.input.tokens, model, lang.partition(".")[0])
    other = read_tokens(job.input.other, model, how["other"]) if "other" in how else None
    write_tokens(job.output[0], derive_tokens(corpus, how, other), model, lang, job.params.max_tokens)


run_job(main, globals())
