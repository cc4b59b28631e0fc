"""Adaptor of rule judge_sweep."""

from babelscope.evidence.robustness import read_judges, read_main
from babelscope.evidence.sweep import judge_sweep, read_points, write_sweep
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, codes, scales = job.wildcards.model, job.params.languages, job.params.scales
    points = read_points({name: job.input[name] for name in scales}, scales, model, codes)
    judges = read_judges(job.input, codes, model, **job.params.judges)
    found = judge_sweep(points, read_main(job.input, model, codes), judges, job.params.threshold)
    write_sweep(job.output, *found)


run_job(main, globals())
