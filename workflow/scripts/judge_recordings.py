"""Adaptor of rule judge_recordings."""

from babelscope.evidence.robustness import judge_study, read_judges, read_main, write_verdicts
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, codes, p = job.wildcards.model, job.params.languages, job.params
    judges, recordings = read_judges(job.input, codes, model, **p.judges), Recordings(job)
    asked = (read_main(job.input, model, codes), recordings.main, recordings.of(p.controls), judges)
    write_verdicts(job.output, judge_study(*asked, **p.settings), model, codes)


run_job(main, globals())
