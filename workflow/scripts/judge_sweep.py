"""Adaptor of rule judge_sweep."""

from babelscope.evidence.robustness import read_judges, read_main
from babelscope.evidence.sweep import SweepPoint, judge_sweep, sweep_identities, write_sweep
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, p, recordings = job.wildcards.model, job.params, Recordings(job)
    judges = read_judges(job.input, p.languages, model, **p.judges)
    points = {name: SweepPoint(of, p.scales[name]) for name, of in recordings.of(p.scales).items()}
    found = judge_sweep(points, read_main(job.input, model, p.languages), judges, p.threshold)
    same = {name: points[name] for name in p.same_experts}
    identities = sweep_identities(recordings.main, same, judges, p.threshold, p.n_most)
    write_sweep(job.output, *found, identities, model, p.languages)


run_job(main, globals())
