"""Adaptor of rule evaluate_matrix."""

from babelscope.experts.partition import read_partition
from babelscope.files.whole import write_json
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.pruning.evaluate import Choice
from babelscope.pruning.matrix import evaluate_under_experts
from babelscope.pruning.pruned_model import read_plan
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    languages = smk.params.languages
    partition = read_partition(smk.input.experts, info)
    frequency = {
        lang: read_activations(path, model=info.name, language=lang, partition=partition).frequency
        for lang, path in zip(languages, smk.input.activations, strict=True)
    }
    choices = {
        name: {
            target: Choice(**choice).experts([frequency[lang] for lang in members])
            for target, members in smk.params.targets.items()
        }
        for name, choice in smk.params.choices.items()
    }
    result = evaluate_under_experts(
        info,
        Compute(**smk.params.compute),
        read_tokens(smk.input.tokens, info.name, smk.wildcards.lang),
        partition,
        choices,
        {
            target: read_plan(path, info, target)
            for target, path in zip(smk.params.targets, smk.input.plans, strict=True)
        },
        smk.params.n_profile,
    )
    write_json(smk.output[0], {"language": smk.wildcards.lang, "model": info.name, **result})


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
