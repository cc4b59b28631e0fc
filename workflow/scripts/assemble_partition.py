"""Adaptor of rule assemble_partition."""

from babelscope.experts.layer_file import assemble_layers
from babelscope.experts.partition import write_partition
from babelscope.model.info import read_model_info
from babelscope.study.job import run_job


def main(smk):
    info = read_model_info(smk.input.model)
    partition, attrs = assemble_layers(smk.input.layers, info)
    write_partition(smk.output[0], partition, model=info.name, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
