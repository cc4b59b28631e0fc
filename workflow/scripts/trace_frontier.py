"""Adaptor of rule trace_frontier."""

from babelscope.experts.partition import read_partition
from babelscope.files.whole import write_json
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.pruning.frontier import trace_frontier
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    corpus = read_tokens(smk.input.tokens, info.name, smk.wildcards.lang)
    partition = read_partition(smk.input.experts, info)
    said = {"model": info.name, "language": smk.wildcards.lang, "partition": partition, "corpus": corpus}
    rows = trace_frontier(
        info,
        Compute(**smk.params.compute),
        corpus,
        partition,
        read_activations(smk.input.activations, **said).frequency,
        smk.wildcards.lang,
        **smk.params.frontier,
    )
    write_json(smk.output[0], [{"language": smk.wildcards.lang, **row} for row in rows])


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
