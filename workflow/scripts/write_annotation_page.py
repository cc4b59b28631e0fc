"""Adaptor of rule write_annotation_page."""

from pathlib import Path

from babelscope.responses.measures import read_responses
from babelscope.responses.page import write_annotation_page
from babelscope.study.job import run_job


def main(smk):
    responses = [r for r in read_responses(smk.input.responses) if r.get("mode") == "greedy"]
    names = {"model": smk.wildcards.model, "language": smk.wildcards.lang}
    template = Path(smk.input.template).read_text(encoding="utf-8")
    write_annotation_page(smk.output[0], responses, template=template, **names, seed=smk.params.seed)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
