"""Adaptor of rule cluster_layer."""

from babelscope.experts.clustering import cluster_neurons, reference_sse
from babelscope.experts.layer_file import write_layer_experts
from babelscope.model.info import read_model_info
from babelscope.model.weights import read_rows
from babelscope.study.errors import naming
from babelscope.study.job import run_job


def main(smk):
    info = read_model_info(smk.input.model)
    layer, options = int(smk.wildcards.layer), dict(smk.params.experts)
    matrix, device, n_starts = options.pop("matrix"), options.pop("device"), options.pop("n_starts")
    method = options.pop("method")
    options |= {"seed": smk.params.seed, "n_threads": smk.threads}
    rows = read_rows(info.path, info.family, layer, matrix)
    with naming(f"{info.name}, layer {layer}, {matrix}"):
        result = cluster_neurons(rows, method=method, n_starts=n_starts, device=device, **options)
        reference = reference_sse(rows, result.labels, **options)
    write_layer_experts(smk.output[0], result, reference, info.name, layer, matrix)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
