"""Adaptor of rule merge_shards."""

from babelscope.recording.counts import write_activations
from babelscope.recording.shards import merge_shards
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    model, lang, n = smk.wildcards.model, smk.wildcards.lang, len(smk.input.main)
    shards = [*smk.input.main, *smk.input.variants]
    with open_tokens(smk.input.tokens, model, lang) as corpus:
        for number, path in enumerate(smk.output):
            own = shards[number * n : (number + 1) * n]
            counts, attrs = merge_shards(own, corpus, model=model, **smk.params.cut)
            write_activations(path, counts, model, lang, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
