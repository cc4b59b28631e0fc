"""Adaptor of rule write_annotation_page."""

from pathlib import Path

from babelscope.responses.measures import read_responses
from babelscope.responses.page import write_annotation_page
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    names = {"model": job.wildcards.model, "language": job.wildcards.lang}
    found = [r for r in read_responses(job.input.responses, **names) if r.get("mode") == "greedy"]
    responses = [{**r, "pruned": r[job.params.judged]} for r in found]
    template = Path(job.input.template).read_text(encoding="utf-8")
    write_annotation_page(job.output[0], responses, template=template, **names, seed=job.params.seed)


run_job(main, globals())
