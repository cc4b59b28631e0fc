"""Adaptor of rule cluster_layer."""

from babelscope.clustering import cluster_neurons, reference_sse
from babelscope.files import write_layer_experts
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.weights import read_rows


def main(smk):
    info = read_model_info(smk.input.model)
    layer, experts = int(smk.wildcards.layer), smk.params.experts
    rows = read_rows(info.path, info.family, layer, experts["matrix"])
    options = {"seed": smk.params.seed, "normalize_rows": experts["normalize_rows"], "n_threads": smk.threads}
    n_experts, n_starts = experts["n_experts"], experts["n_starts"]
    result = cluster_neurons(rows, n_experts, method=experts["method"], n_starts=n_starts, **options)
    reference = reference_sse(rows, result.labels, n_experts, **options)
    write_layer_experts(smk.output[0], result, reference, info.name, layer, experts["matrix"])


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
