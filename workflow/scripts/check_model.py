"""Adaptor of rule check_model."""

from babelscope.containers import count_top_k
from babelscope.files import read_partition, read_tokens
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.models import find_ffn_layers, load_model
from babelscope.self_check import check_model, report_checks
from babelscope.store import write_json


def main(smk):
    info = read_model_info(smk.input.model)
    corpus = read_tokens(smk.input.tokens, info.name, smk.params.lang)
    partition = read_partition(smk.input.experts, info)
    top_k = count_top_k(smk.params.top_fraction, partition.n_layers, partition.n_experts)
    compute = {key: value for key, value in smk.params.compute.items() if key != "tokens_per_batch"}
    model = load_model(info, **compute)
    layers = find_ffn_layers(model, info.family)
    checks = check_model(model, layers, info, corpus, partition, top_k, smk.params.n_tokens)
    report = report_checks(checks, info.name, compute["dtype"], smk.params.n_tokens)
    write_json(smk.output[0], report)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
