"""Adaptor of rule record_sweep."""

from babelscope.experts.partition import read_partition
from babelscope.model.info import read_model_info
from babelscope.recording.counts import count_top_k, write_activations
from babelscope.recording.record import RecordingSettings, Variant, record_language
from babelscope.recording.resume import documents_digest
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    info, params, lang = read_model_info(smk.input.model), smk.params, smk.wildcards.lang
    main_partition = read_partition(smk.input.experts, info)
    cuts = {name: (main_partition, fraction) for name, fraction in params.top_fractions.items()}
    for name, path in zip(params.partitions, smk.input.partitions, strict=True):
        cuts[name] = (read_partition(path, info), params.top_fraction)
    variants = [
        Variant(name, cut, count_top_k(fraction, cut.n_layers, cut.n_experts))
        for name, (cut, fraction) in cuts.items()
    ]
    compute = dict(params.compute)
    settings = RecordingSettings(tokens_per_batch=compute.pop("tokens_per_batch"), **params.recording)
    with open_tokens(smk.input.tokens, info.name, lang) as corpus:
        chosen = corpus.profile_idx
        job = (info, compute, corpus, chosen, variants, settings, smk.output[0], params.code)
        recording = record_language(*job)
        attrs = {"documents_sha256": documents_digest(corpus, chosen)}
    for path, name in zip(smk.output, cuts, strict=True):
        write_activations(path, recording.counts[name], info.name, lang, variant=name, **attrs)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
