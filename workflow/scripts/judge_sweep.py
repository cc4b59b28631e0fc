"""Adaptor of rule judge_sweep."""

from babelscope.evidence import sweep
from babelscope.evidence.robustness import read_judges, read_main
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, codes, p, recordings = job.wildcards.model, job.params.languages, job.params, Recordings(job)
    points = {
        name: sweep.SweepPoint(found, p.scales[name]) for name, found in recordings.of(p.scales).items()
    }
    judges = read_judges(job.input, codes, model, **p.judges)
    found = sweep.judge_sweep(points, read_main(job.input, model, codes), judges, p.threshold)
    same = {name: points[name] for name in p.same_experts}
    identities = sweep.sweep_identities(recordings.main, same, judges, p.threshold, p.n_most)
    sweep.write_sweep(job.output, *found, identities, model, codes)


run_job(main, globals())
