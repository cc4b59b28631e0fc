"""Adaptor of rule merge_shards."""

from babelscope.recording import counts, neurons, shards
from babelscope.study.job import Job, run_job
from babelscope.text.token_file import open_tokens


def main(job: Job) -> None:
    said = {"model": job.wildcards.model, "language": job.wildcards.lang}
    outputs, cut = dict(job.output.items()), job.params.cut
    with open_tokens(job.input.tokens, **said) as corpus:
        if "neurons" in outputs:
            found, attrs = shards.merge_neurons(job.input.neurons, corpus, **cut, **said)
            neurons.write_neurons(outputs.pop("neurons"), found, **attrs)
        for variant, path in outputs.items():
            own = said | {"variant": variant}
            merged, attrs = shards.merge_shards(job.input[variant], corpus, **cut, **own)
            counts.write_activations(path, merged, **own, **attrs)


run_job(main, globals())
