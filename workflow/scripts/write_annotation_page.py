"""Adaptor of rule write_annotation_page."""

from babelscope.annotation import write_annotation_page
from babelscope.job import run_job
from babelscope.response_measures import read_responses


def main(smk):
    responses = [r for r in read_responses(smk.input.responses) if r.get("mode") == "greedy"]
    names = {"model": smk.wildcards.model, "language": smk.wildcards.lang}
    write_annotation_page(smk.output[0], responses, **names, seed=smk.params.seed)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
