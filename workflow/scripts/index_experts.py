"""Adaptor of rule index_experts."""

from babelscope.evidence import expert_tables
from babelscope.evidence.specificity import index_experts
from babelscope.files.tables import write_table
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job
from babelscope.study.languages import read_languages


def main(smk):
    codes, table = list(smk.params.languages), read_languages(smk.input.languages)
    counts = [read_activations(path, smk.wildcards.model) for path in smk.input.activations]
    index = index_experts(counts, [table[code] for code in codes], smk.params.threshold)
    rows = expert_tables.tabulate_index(index, codes)
    write_table(smk.output.index, rows, expert_tables.index_columns(codes))
    specific = expert_tables.tabulate_specific(index, codes, smk.params.n_most)
    write_table(smk.output.specific, specific, expert_tables.SPECIFIC_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
