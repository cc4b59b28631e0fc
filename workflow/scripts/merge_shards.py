"""Adaptor of rule merge_shards."""

from babelscope.recording.counts import write_activations
from babelscope.recording.shards import merge_shards
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    said = {"model": smk.wildcards.model, "language": smk.wildcards.lang}
    with open_tokens(smk.input.tokens, **said) as corpus:
        for variant, path in smk.output.items():
            own = said | {"variant": variant}
            counts, attrs = merge_shards(smk.input[variant], corpus, **smk.params.cut, **own)
            write_activations(path, counts, **own, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
