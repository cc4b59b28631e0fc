"""Adaptor of rule record_activations."""

from babelscope.files import read_partition, read_tokens, write_activations
from babelscope.job import run_job
from babelscope.model_info import read_model_info
from babelscope.recording import RecordingSettings, make_variants, record_language
from babelscope.running_counts import documents_digest
from babelscope.shards import shard_documents


def main(smk):
    info = read_model_info(smk.input.model)
    lang, per_shard = smk.wildcards.lang, smk.params.documents_per_shard
    corpus = read_tokens(smk.input.tokens, info.name, lang)
    chosen = shard_documents(corpus, smk.wildcards.shard, per_shard) if per_shard else corpus.profile_idx
    files = [smk.input.experts, *smk.input.controls]
    partitions = {name: read_partition(name, info) for name in files}
    variants = make_variants(partitions, smk.params.top_fraction, smk.params.top_fractions)
    compute = dict(smk.params.compute)
    settings = RecordingSettings(tokens_per_batch=compute.pop("tokens_per_batch"), **smk.params.recording)
    recording = record_language(
        info, compute, corpus, chosen, variants, settings, smk.output.main, smk.params.code
    )
    attrs = {
        "n_skipped_documents": len(recording.skipped_documents),
        "documents_sha256": documents_digest(corpus, chosen),
    }
    outputs = [smk.output.main, *smk.output.controls, *smk.output.sweep]
    for path, counts in zip(outputs, recording.counts.values(), strict=True):
        write_activations(path, counts, info.name, lang, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
