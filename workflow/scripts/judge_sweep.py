"""Adaptor of rule judge_sweep."""

from babelscope.evidence.robustness import read_judges, read_main
from babelscope.evidence.sweep import SweepPoint, judge_sweep, write_sweep
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, codes, scales = job.wildcards.model, job.params.languages, job.params.scales
    points = {name: SweepPoint(found, scales[name]) for name, found in Recordings(job).of(scales).items()}
    judges = read_judges(job.input, codes, model, **job.params.judges)
    found = judge_sweep(points, read_main(job.input, model, codes), judges, job.params.threshold)
    write_sweep(job.output, *found, model, codes)


run_job(main, globals())
