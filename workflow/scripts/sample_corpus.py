"""Adaptor of rule sample_corpus."""

from babelscope.study.job import run_job
from babelscope.text.documents import sample_documents, write_documents


def main(smk):
    documents = sample_documents(
        smk.wildcards.lang, smk.params.source, seed=smk.params.seed, **smk.params.sampling
    )
    write_documents(smk.output[0], documents)


if "snakemake" in globals():
    run_job(main, snakemake, network=True)  # noqa: F821
