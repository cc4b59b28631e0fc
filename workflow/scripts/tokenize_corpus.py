"""Adaptor of rule tokenize_corpus."""

from babelscope.model.info import read_model_info
from babelscope.study.job import run_job
from babelscope.text.documents import read_documents
from babelscope.text.tokenise import load_encoder, tokenize_documents
from babelscope.text.tokens import write_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    documents = read_documents(smk.input.corpus)
    corpus = tokenize_documents(documents, load_encoder(info), smk.params.max_tokens, info.bos_token_id)
    write_tokens(smk.output[0], corpus, info.name, smk.wildcards.lang, smk.params.max_tokens)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
