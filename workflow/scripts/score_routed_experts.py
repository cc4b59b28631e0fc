"""Adaptor of rule score_routed_experts."""

from babelscope.pruning.routed_jobs import score_to_file
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files = JobFiles(job)
    asked = (files.corpus, job.wildcards.lang, job.params.documents)
    score_to_file(job.output[0], files.info, files.compute, *asked)


run_job(main, globals())
