"""Adaptor of rule count_sharing."""

from babelscope.comparison.frequency import read_frequency
from babelscope.comparison.sharing import count_sharing, write_sharing
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, threshold = job.wildcards.model, job.params.threshold
    frequency, languages = read_frequency(job.input.frequency, model, job.params.languages)
    sharing = count_sharing(frequency, threshold)
    write_sharing(job.output.sharing, job.output.table, sharing, languages, model, threshold)


run_job(main, globals())
