"""Adaptor of rule export_routed."""

from babelscope.model.info import read_model_info
from babelscope.pruning.routed_jobs import export_routed, read_statistics
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info, p = read_model_info(job.input.model, job.config["model_definitions"]), job.params
    statistics = read_statistics(job.input, info.name, p.languages)
    export_routed(job.output[0], info, p.dtype, statistics, job.wildcards.target, **p.settings)


run_job(main, globals())
