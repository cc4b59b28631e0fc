"""Adaptor of rule compare_languages."""

from babelscope.comparison.frequency import write_frequency
from babelscope.comparison.similarity import compare_languages, stack_frequencies, write_similarity
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    languages, model = list(job.params.languages), job.wildcards.model
    counts = Recordings(job).main
    frequency, n_tokens = stack_frequencies(counts)
    similarity = compare_languages(frequency, n_tokens)
    write_frequency(job.output.frequency, frequency, languages, model, counts[0].layers)
    write_similarity(job.output.similarity, job.output.tables, similarity, languages, model)


run_job(main, globals())
