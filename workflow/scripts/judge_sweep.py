"""Adaptor of rule judge_sweep."""

from babelscope.evidence.identities import IDENTITY_COLUMNS, compare_identities
from babelscope.evidence.robustness import read_judges, read_main
from babelscope.evidence.sweep import SweepPoint, judge_sweep, write_sweep
from babelscope.files.tables import write_table
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, codes, scales = job.wildcards.model, job.params.languages, job.params.scales
    recordings, p = Recordings(job), job.params
    points = {name: SweepPoint(found, scales[name]) for name, found in recordings.of(scales).items()}
    judges = read_judges(job.input, codes, model, **p.judges)
    found = judge_sweep(points, read_main(job.input, model, codes), judges, p.threshold)
    same = {name: (points[name].counts, points[name].scale * p.threshold) for name in p.same_experts}
    identities = compare_identities(recordings.main, same, judges.languages, p.threshold, p.n_most)
    write_table(job.output.identities, identities, IDENTITY_COLUMNS)
    write_sweep(job.output, *found, model, codes)


run_job(main, globals())
