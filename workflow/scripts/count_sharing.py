"""Adaptor of rule count_sharing."""

from babelscope.comparison.frequency import read_frequency
from babelscope.comparison.sharing import count_sharing, write_sharing
from babelscope.study.job import run_job


def main(smk):
    model, threshold = smk.wildcards.model, smk.params.threshold
    frequency, languages = read_frequency(smk.input.frequency, model)
    sharing = count_sharing(frequency, threshold)
    write_sharing(smk.output.sharing, smk.output.table, sharing, languages, model, threshold)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
