"""Adaptor of rule make_control_partition."""

from babelscope.control_partitions import cut_all_layers
from babelscope.files import write_partition
from babelscope.job import run_job
from babelscope.model_info import read_model_info


def main(smk):
    info = read_model_info(smk.input.model)
    variant, seed, matrix = smk.params.variant, smk.params.seed, smk.params.matrix
    partition = cut_all_layers(info, variant["method"], variant["n_experts"], matrix, seed, smk.threads)
    write_partition(smk.output[0], partition, info.name, seed=seed, matrix=matrix, method=variant["method"])


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
