"""Adaptor of rule trace_frontier."""

from babelscope.files import read_activations, read_partition, read_tokens
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.pruning_frontier import trace_frontier
from babelscope.store import write_json


def main(smk):
    info = read_model_info(smk.input.model)
    rows = trace_frontier(
        info,
        dict(smk.params.compute),
        read_tokens(smk.input.tokens, info.name, smk.wildcards.lang),
        read_partition(smk.input.experts, info),
        read_activations(smk.input.activations, info.name).frequency,
        **smk.params.frontier,
    )
    write_json(smk.output[0], [{"language": smk.wildcards.lang, **row} for row in rows])


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
