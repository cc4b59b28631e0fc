"""Adaptor of rule merge_shards."""

from babelscope.recording.counts import write_activations
from babelscope.recording.neurons import write_neurons
from babelscope.recording.shards import merge_neurons, merge_shards
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    said = {"model": smk.wildcards.model, "language": smk.wildcards.lang}
    outputs, cut = dict(smk.output.items()), smk.params.cut
    with open_tokens(smk.input.tokens, **said) as corpus:
        found, attrs = merge_neurons(smk.input.neurons, corpus, **cut, **said)
        write_neurons(outputs.pop("neurons"), found, **attrs)
        for variant, path in outputs.items():
            own = said | {"variant": variant}
            counts, attrs = merge_shards(smk.input[variant], corpus, **cut, **own)
            write_activations(path, counts, **own, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
