"""Adaptor of rule write_claims_page."""

from babelscope.evidence.page import claims_page, read_page
from babelscope.files.whole import write_text
from babelscope.study.job import run_job


def main(smk):
    write_text(smk.output[0], claims_page(*read_page(smk.input), smk.wildcards.model))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
