"""Adaptor of rule measure_pruning_speed."""

import os

# Read when torch is loaded: alone on all cores, threads that sleep between products cost most of the time.
os.environ.update(OMP_WAIT_POLICY="ACTIVE", KINETO_LOG_LEVEL="99")
from babelscope.pruning.pruned_model import read_plans
from babelscope.pruning.speed import time_plans, write_speed
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    plans = read_plans(job.input.plans, files.info, p.languages, **p.choice)
    asked = (plans, files.read_corpus(job.input.tokens, p.languages[0]).token_ids, p.models)
    write_speed(job.output, time_plans(files.info, files.compute, *asked), files.info.name, p.languages)


run_job(main, globals())
