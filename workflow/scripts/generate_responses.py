"""Adaptor of rule generate_responses."""

import json

from babelscope.files.whole import write_text
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.load import load_model
from babelscope.pruning.pruned_model import PruningPlan, apply_plan, read_plan
from babelscope.responses.generate import choose_prompts, continue_prompts, load_decoder
from babelscope.study.job import run_job
from babelscope.study.progress import progress
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    corpus = read_tokens(smk.input.tokens, info.name, smk.wildcards.lang)
    plan = read_plan(smk.input.plan, info, smk.wildcards.lang)
    options, seed = dict(smk.params.responses), smk.params.seed
    chosen = choose_prompts(corpus, options["prompts"], options["prompt_tokens"])
    prompts = [ids for _, ids in chosen]
    model, decode = load_model(info, Compute(**smk.params.compute)), load_decoder(info.path)
    plans = {"dense": PruningPlan(plan.keep | True), "pruned": plan}
    modes = {"greedy": False, "sampled": True}
    texts = {}
    with progress(len(prompts) * 4, "responses", "generating") as bar:
        for side, one in plans.items():
            with model.restored():
                apply_plan(model.layers, one)
                for mode, sample in modes.items():
                    found = continue_prompts(
                        model, prompts, corpus.bos_token_id, options["new_tokens"], sample, seed, bar.update
                    )
                    texts[side, mode] = [decode(ids) for ids in found]
    lines = [
        {
            "id": str(number),
            "mode": mode,
            "prompt": decode(ids),
            "dense": texts["dense", mode][row],
            "pruned": texts["pruned", mode][row],
        }
        for mode in modes
        for row, (number, ids) in enumerate(chosen)
    ]
    write_text(smk.output[0], "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
