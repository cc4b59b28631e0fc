"""Adaptor of rule compensate."""

from babelscope.experts.partition import read_partition
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.pruning.evaluate import Choice, plan_pruning
from babelscope.pruning.pruned_model import write_plan
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    languages = smk.params.languages
    corpora = [
        read_tokens(path, info.name, lang) for path, lang in zip(smk.input.tokens, languages, strict=True)
    ]
    partition = read_partition(smk.input.experts, info)
    frequencies = [
        read_activations(path, model=info.name, language=lang, partition=partition, corpus=corpus).frequency
        for path, lang, corpus in zip(smk.input.activations, languages, corpora, strict=True)
    ]
    choice = dict(smk.params.choice)
    n_documents = smk.params.documents
    plan, fits = plan_pruning(
        info,
        Compute(**smk.params.compute),
        corpora,
        partition,
        frequencies,
        Choice(**choice),
        n_documents,
    )
    parameters = {**choice, "documents": n_documents}
    write_plan(smk.output[0], plan, fits, info.name, smk.wildcards.target, languages, **parameters)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
