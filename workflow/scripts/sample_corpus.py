"""Adaptor of rule sample_corpus."""

from babelscope.corpus import sample_documents, write_documents
from babelscope.job import run_job


def main(smk):
    documents = sample_documents(
        smk.wildcards.lang, smk.params.source, seed=smk.params.seed, **smk.params.sampling
    )
    write_documents(smk.output[0], documents)


if "snakemake" in globals():
    run_job(main, snakemake, network=True)  # noqa: F821
