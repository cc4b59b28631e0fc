"""Adaptor of rule evaluate_pruning."""

from babelscope.experts.partition import read_partition
from babelscope.files.whole import write_json
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.pruning.controls import ControlSettings
from babelscope.pruning.evaluate import evaluate_language
from babelscope.pruning.pruned_model import read_plan
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job
from babelscope.text.tokens import read_tokens


def main(smk):
    info, lang = read_model_info(smk.input.model), smk.wildcards.lang
    partition, corpus = (
        read_partition(smk.input.experts, info),
        read_tokens(smk.input.tokens, info.name, lang),
    )
    said = {"model": info.name, "language": lang, "partition": partition, "corpus": corpus}
    frequency = read_activations(smk.input.activations, **said).frequency
    plan, controls = read_plan(smk.input.plan, info, lang), ControlSettings(**smk.params.controls)
    job = (info, Compute(**smk.params.compute), corpus, partition, plan, frequency, lang, controls)
    write_json(
        smk.output[0], {"language": lang, "model": info.name, **smk.params.choice, **evaluate_language(*job)}
    )


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
