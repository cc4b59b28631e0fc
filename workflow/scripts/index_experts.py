"""Adaptor of rule index_experts."""

from babelscope.evidence import expert_tables
from babelscope.evidence.specificity import index_experts
from babelscope.files.tables import write_table
from babelscope.recording.counts import read_recordings
from babelscope.study.job import run_job
from babelscope.study.languages import select_languages


def main(smk):
    codes, languages = smk.params.languages, select_languages(smk.input.languages, smk.params.languages)
    counts = read_recordings(smk.input.activations, smk.wildcards.model, codes)
    index = index_experts(counts, languages, smk.params.threshold)
    rows = expert_tables.tabulate_index(index, codes)
    write_table(smk.output.index, rows, expert_tables.index_columns(codes))
    specific = expert_tables.tabulate_specific(index, codes, smk.params.n_most)
    write_table(smk.output.specific, specific, expert_tables.SPECIFIC_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
