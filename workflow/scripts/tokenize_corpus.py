"""Adaptor of rule tokenize_corpus."""

from babelscope.model.info import read_model_info
from babelscope.study.job import Job, run_job
from babelscope.text.documents import read_documents
from babelscope.text.tokenise import load_encoder, tokenize_documents
from babelscope.text.tokens import write_tokens


def main(job: Job) -> None:
    info = read_model_info(job.input.model, job.config["model_definitions"])
    documents = read_documents(job.input.corpus, job.wildcards.lang)
    corpus = tokenize_documents(documents, load_encoder(info), job.params.max_tokens, info.bos_token_id)
    write_tokens(job.output[0], corpus, info.name, job.wildcards.lang, job.params.max_tokens)


run_job(main, globals())
