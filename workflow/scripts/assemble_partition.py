"""Adaptor of rule assemble_partition."""

from babelscope.experts.layer_file import assemble_layers
from babelscope.experts.partition import write_partition
from babelscope.model.info import read_model_info
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info = read_model_info(job.input.model, job.config["model_definitions"])
    partition, attrs = assemble_layers(job.input.layers, info)
    write_partition(job.output[0], partition, model=info.name, **attrs)


run_job(main, globals())
