"""Adaptor of rule make_control_partition."""

from babelscope.control_partitions import cut_all_layers
from babelscope.files import write_partition
from babelscope.job import run_job
from babelscope.model_info import read_model_info


def main(smk):
    info = read_model_info(smk.input.model)
    variant = smk.params.variant
    options = {
        "method": variant["method"],
        "matrix": smk.params.matrix,
        "seed": smk.params.seed,
        "normalize_rows": smk.params.normalize_rows,
    }
    partition = cut_all_layers(info, n_experts=variant["n_experts"], n_threads=smk.threads, **options)
    write_partition(smk.output[0], partition, info.name, **options)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
