"""Adaptor of rule count_sharing."""

from babelscope.files import read_frequency, write_sharing
from babelscope.job import run_job
from babelscope.sharing import count_sharing


def main(smk):
    model, threshold = smk.wildcards.model, smk.params.threshold
    frequency, languages = read_frequency(smk.input.frequency, model)
    sharing = count_sharing(frequency, threshold)
    write_sharing(smk.output.sharing, smk.output.table, sharing, languages, model, threshold)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
