"""Adaptor of rule assemble_partition."""

from babelscope.files import assemble_layers, write_partition
from babelscope.job import run_job
from babelscope.model_info import read_model_info


def main(smk):
    info = read_model_info(smk.input.model)
    partition, attrs = assemble_layers(smk.input.layers, info)
    write_partition(smk.output[0], partition, info.name, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
