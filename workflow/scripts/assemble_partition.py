"""Adaptor of rule assemble_partition."""

from babelscope.experts.layer_file import assemble_partition
from babelscope.model.info import read_model_info
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info = read_model_info(job.input.model, job.config["model_definitions"])
    assemble_partition(job.output[0], info, job.input.get("layers", []), job.params.method)


run_job(main, globals())
