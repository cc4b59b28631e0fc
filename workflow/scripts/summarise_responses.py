"""Adaptor of rule summarise_responses."""

from babelscope.files.tables import write_table
from babelscope.responses.measures import RESPONSE_MODES, summarise_responses
from babelscope.study.job import run_job


def main(smk):
    pairs = list(zip(smk.input, smk.params.languages, strict=True))
    rows = [summarise_responses(path, lang, mode) for path, lang in pairs for mode in RESPONSE_MODES]
    write_table(smk.output[0], rows, tuple(rows[0]))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
