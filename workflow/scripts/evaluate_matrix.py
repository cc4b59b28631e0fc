"""Adaptor of rule evaluate_matrix."""

from babelscope.files import read_activations, read_partition, read_tokens
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.pruning_matrix import evaluate_under_experts
from babelscope.pruning_plan import read_plan
from babelscope.pruning_study import Choice
from babelscope.store import write_json


def main(smk):
    info = read_model_info(smk.input.model)
    languages = smk.params.languages
    frequency = {
        lang: read_activations(path, info.name).frequency
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
        dict(smk.params.compute),
        read_tokens(smk.input.tokens, info.name, smk.wildcards.lang),
        read_partition(smk.input.experts, info),
        choices,
        {
            target: read_plan(path, info)
            for target, path in zip(smk.params.targets, smk.input.plans, strict=True)
        },
        smk.params.n_profile,
    )
    write_json(smk.output[0], {"language": smk.wildcards.lang, "model": info.name, **result})


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
