"""Adaptor of rule compare_languages."""

from babelscope.comparison.frequency import write_frequency
from babelscope.comparison.similarity import compare_languages, stack_frequencies, write_similarity
from babelscope.recording.counts import read_recordings
from babelscope.study.job import run_job


def main(smk):
    languages, model = list(smk.params.languages), smk.wildcards.model
    counts = read_recordings(smk.input.activations, model, languages)
    frequency, n_tokens = stack_frequencies(counts)
    similarity = compare_languages(frequency, n_tokens)
    write_frequency(smk.output.frequency, frequency, languages, model)
    write_similarity(smk.output.similarity, smk.output.tables, similarity, languages, model)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
