"""Adaptor of rule record_sweep."""

from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.recording.files import read_partitions, record_to_files
from babelscope.recording.record import make_variants
from babelscope.study.job import run_job
from babelscope.text.token_file import open_tokens


def main(smk):
    info, p, lang = read_model_info(smk.input.model), smk.params, smk.wildcards.lang
    partitions = read_partitions(info, smk.input.experts, smk.input.partitions, p.partitions)
    variants, outputs = make_variants(partitions, p.top_fraction, p.top_fractions), dict(smk.output.items())
    with open_tokens(smk.input.tokens, info.name, lang) as corpus:
        job = (
            info,
            Compute(**p.compute),
            p.recording,
            corpus,
            corpus.profile_idx,
            variants,
            outputs,
            lang,
            p.code,
        )
        record_to_files(*job)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
