"""Adaptor of rule evaluate_routed."""

from babelscope.pruning.routed_jobs import evaluate_to_file, read_statistics
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    statistics = read_statistics(job.input, files.info.name, p.languages)
    asked = (files.corpus, job.wildcards.lang, p.targets, statistics, p.settings)
    evaluate_to_file(job.output[0], files.info, files.compute, *asked)


run_job(main, globals())
