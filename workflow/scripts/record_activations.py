"""Adaptor of rule record_activations."""

from babelscope.experts.partition import read_partition
from babelscope.model.info import read_model_info
from babelscope.recording.counts import write_activations
from babelscope.recording.record import RecordingSettings, make_variants, record_language
from babelscope.recording.resume import documents_digest
from babelscope.recording.shards import shard_documents
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    info, params, lang = read_model_info(smk.input.model), smk.params, smk.wildcards.lang
    partitions = {name: read_partition(name, info) for name in [smk.input.experts, *smk.input.controls]}
    variants = make_variants(partitions, params.top_fraction, params.top_fractions)
    compute = dict(params.compute)
    settings = RecordingSettings(tokens_per_batch=compute.pop("tokens_per_batch"), **params.recording)
    with open_tokens(smk.input.tokens, info.name, lang) as corpus:
        per_shard = params.documents_per_shard
        chosen = shard_documents(corpus, smk.wildcards.shard, per_shard) if per_shard else corpus.profile_idx
        job = (info, compute, corpus, chosen, variants, settings, smk.output.main, params.code)
        recording = record_language(*job)
        attrs = {"documents_sha256": documents_digest(corpus, chosen)}
    attrs["n_skipped_documents"] = len(recording.skipped_documents)
    outputs = [smk.output.main, *smk.output.controls, *smk.output.sweep]
    for path, counts in zip(outputs, recording.counts.values(), strict=True):
        write_activations(path, counts, info.name, lang, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
