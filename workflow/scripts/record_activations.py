"""Adaptor of rule record_activations."""

from babelscope.files import read_partition, read_tokens, write_recording
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.recording import RecordingSettings, make_variants, record_language


def main(smk):
    info = read_model_info(smk.input.model)
    corpus = read_tokens(smk.input.tokens, info.name, smk.wildcards.lang)
    files = [smk.input.experts, *smk.input.controls]
    partitions = {name: read_partition(name, info) for name in files}
    variants = make_variants(partitions, smk.params.top_fraction)
    compute = dict(smk.params.compute)
    settings = RecordingSettings(tokens_per_batch=compute.pop("tokens_per_batch"), **smk.params.recording)
    recording = record_language(info, compute, corpus, variants, settings, smk.output.main)
    outputs = [smk.output.main, *smk.output.controls]
    write_recording(dict(zip(files, outputs, strict=True)), recording, info.name, smk.wildcards.lang)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
