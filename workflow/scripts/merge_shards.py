"""Adaptor of rule merge_shards."""

from babelscope.recording import counts, neurons, shards
from babelscope.study.job import Job, run_job
from babelscope.text.token_file import open_tokens


def main(job: Job) -> None:
    said = {"model": job.wildcards.model, "language": job.wildcards.lang}
    with open_tokens(job.input.tokens, **said) as corpus:
        for name, path in job.output.items():
            if name == "neurons":
                done, attrs = shards.merge_neurons(job.input[name], corpus, **job.params.cut, **said)
                neurons.write_neurons(path, done, **attrs)
            else:
                done, attrs = shards.merge_shards(
                    job.input[name], corpus, **job.params.cut, **said, variant=name
                )
                counts.write_activations(path, done, **said, variant=name, **attrs)


run_job(main, globals())
