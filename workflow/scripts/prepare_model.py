"""Adaptor of rule prepare_model."""

from babelscope.model.info import write_model_info
from babelscope.model.prepare import prepare_model
from babelscope.study.job import run_job


def main(smk):
    info = prepare_model(smk.wildcards.model, smk.params.definition, smk.params.weights)
    write_model_info(smk.output[0], info)


if "snakemake" in globals():
    run_job(main, snakemake, network=True)  # noqa: F821
