"""Adaptor of rule save_config."""

import yaml

from babelscope.files.whole import write_text
from babelscope.study.job import run_job


def main(smk):
    write_text(smk.output[0], yaml.safe_dump(dict(smk.params.config), sort_keys=False, allow_unicode=True))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
