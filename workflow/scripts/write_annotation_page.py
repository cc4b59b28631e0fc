"""Adaptor of rule write_annotation_page."""

from pathlib import Path

from babelscope.responses.page import read_judged, write_annotation_page
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    names, p = {"model": job.wildcards.model, "language": job.wildcards.lang}, job.params
    responses = read_judged(job.input.responses, p.judged, **names)
    template = Path(job.input.template).read_text(encoding="utf-8")
    write_annotation_page(job.output[0], responses, template=template, **names, seed=p.seed)


run_job(main, globals())
