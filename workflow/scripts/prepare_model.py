"""Adaptor of rule prepare_model."""

from babelscope.job import run_job
from babelscope.model_info import write_model_info
from babelscope.prepare import prepare_model


def main(smk):
    info = prepare_model(smk.wildcards.model, smk.params.definition, smk.params.weights)
    write_model_info(smk.output[0], info)


if "snakemake" in globals():
    run_job(main, snakemake, network=True)  # noqa: F821
