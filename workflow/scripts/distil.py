"""Adaptor of rule distil."""

from babelscope.pruning.distil import DistilSettings, distil_plan
from babelscope.pruning.pruned_model import read_plan, write_distilled
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p, target = JobFiles(job), job.params, job.wildcards.target
    plan = read_plan(job.input.plan, files.info, target, **p.choice, **p.fit)
    asked = (files.corpora(p.languages), plan, p.fit["documents"], DistilSettings(**p.distil))
    distilled, losses = distil_plan(files.info, files.compute, *asked)
    said = {**p.choice, **p.fit, **p.distil}
    write_distilled(job.output[0], distilled, losses, files.info.name, target, p.languages, **said)


run_job(main, globals())
