"""Adaptor of rule generate_responses."""

from babelscope.pruning.evaluate import Choice
from babelscope.pruning.pruned_model import read_plan
from babelscope.recording.job_files import JobFiles
from babelscope.responses.generate import generate_responses
from babelscope.responses.measures import write_responses
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    plan = read_plan(job.input.plan, files.info, job.wildcards.lang, **p.choice)
    plain = Choice(**p.choice).plain_removal([files.frequency], files.partition)
    asked = (files.info, files.compute, files.corpus, plan, plain)
    lines = generate_responses(*asked, **p.responses, seed=p.seed)
    write_responses(job.output[0], lines, model=files.info.name, language=job.wildcards.lang)


run_job(main, globals())
