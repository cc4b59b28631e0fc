"""Adaptor of rule tokenize_corpus."""

from babelscope.corpus import read_documents
from babelscope.files import write_tokens
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.tokens import load_encoder, tokenize_documents


def main(smk):
    info = read_model_info(smk.input.model)
    documents = read_documents(smk.input.corpus)
    corpus = tokenize_documents(documents, load_encoder(info), smk.params.max_tokens, info.bos_token_id)
    write_tokens(smk.output[0], corpus, info.name, smk.wildcards.lang, smk.params.max_tokens)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
