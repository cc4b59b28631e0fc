"""Adaptor of rule judge_recordings."""

from babelscope.evidence.robustness import judge_study, read_judges, read_main, write_verdicts
from babelscope.recording.counts import read_recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, codes, settings = job.wildcards.model, job.params.languages, job.params.settings
    judges, main_study = (
        read_judges(job.input, codes, model, **job.params.judges),
        read_main(job.input, model, codes),
    )
    counts = read_recordings(job.input.activations, model, codes)
    controls = {name: read_recordings(job.input[name], model, codes, name) for name in job.params.controls}
    write_verdicts(job.output, judge_study(main_study, counts, controls, judges, **settings))


run_job(main, globals())
