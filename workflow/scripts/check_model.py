"""Adaptor of rule check_model."""

from babelscope.experts.partition import read_partition
from babelscope.files.whole import write_json
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.load import load_model
from babelscope.recording.check import check_model, report_checks
from babelscope.recording.counts import count_top_k
from babelscope.study.job import run_job
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    corpus = read_tokens(smk.input.tokens, info.name, smk.params.lang)
    partition = read_partition(smk.input.experts, info)
    top_k = count_top_k(smk.params.top_fraction, partition.n_layers, partition.n_experts)
    compute = Compute(**smk.params.compute)
    checks = check_model(load_model(info, compute), info, corpus, partition, top_k, smk.params.n_tokens)
    report = report_checks(checks, info.name, compute.dtype, smk.params.n_tokens)
    write_json(smk.output[0], report)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
