"""Adaptor of rule evaluate_pruning."""

from babelscope.experts.partition import read_partition
from babelscope.files.whole import write_json
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.pruning.evaluate import evaluate_language
from babelscope.pruning.pruned_model import read_plan
from babelscope.study.job import run_job
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    result = evaluate_language(
        info,
        Compute(**smk.params.compute),
        read_tokens(smk.input.tokens, info.name, smk.wildcards.lang),
        read_partition(smk.input.experts, info),
        read_plan(smk.input.plan, info, smk.wildcards.lang),
        n_random=smk.params.random_seeds,
        seed=smk.params.seed,
    )
    head = {"language": smk.wildcards.lang, "model": info.name, **smk.params.choice}
    write_json(smk.output[0], {**head, **result})


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
