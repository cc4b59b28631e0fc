"""Adaptor of rule record_activations."""

from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.recording.files import read_partitions, record_to_files
from babelscope.recording.record import make_variants
from babelscope.recording.shards import shard_documents
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    info, p, lang = read_model_info(smk.input.model), smk.params, smk.wildcards.lang
    partitions = read_partitions(info, smk.input.experts, smk.input.partitions, p.partitions)
    variants, outputs = make_variants(partitions, p.top_fraction, p.top_fractions), dict(smk.output.items())
    with open_tokens(smk.input.tokens, info.name, lang) as corpus:
        chosen = shard_documents(corpus, smk.wildcards.get("shard"), p.documents_per_shard)
        compute = Compute(**p.compute)
        record_to_files(info, compute, p.recording, corpus, chosen, variants, outputs, lang, p.code)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
