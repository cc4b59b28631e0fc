"""Adaptor of rule export_pruned."""

from babelscope.model.info import read_model_info
from babelscope.pruning.export import export_both
from babelscope.pruning.pruned_model import read_plan
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info, target = read_model_info(job.input.model, job.config["model_definitions"]), job.wildcards.target
    plan = read_plan(job.input.plan, info, target, **job.params.choice)
    export_both(info, job.params.dtype, plan, target, job.params.languages, **dict(job.output.items()))


run_job(main, globals())
