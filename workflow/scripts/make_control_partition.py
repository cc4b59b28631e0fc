"""Adaptor of rule make_control_partition."""

from babelscope.experts.controls import cut_all_layers
from babelscope.experts.partition import write_partition
from babelscope.model.info import read_model_info
from babelscope.study.job import run_job


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
    write_partition(smk.output[0], partition, model=info.name, variant=smk.wildcards.variant, **options)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
