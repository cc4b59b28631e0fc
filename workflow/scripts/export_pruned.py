"""Adaptor of rule export_pruned."""

from babelscope.model.info import read_model_info
from babelscope.pruning.export import export_both
from babelscope.pruning.pruned_model import DISTILLED, PRUNED, read_plan
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info, target = read_model_info(job.input.model, job.config["model_definitions"]), job.wildcards.target
    kind, p = DISTILLED if job.params.distil else PRUNED, job.params
    plan = read_plan(job.input.plan, info, target, kind, **p.choice, **(p.distil or {}))
    export_both(info, p.dtype, plan, target, p.languages, **dict(job.output.items()))


run_job(main, globals())
