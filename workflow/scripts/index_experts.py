"""Adaptor of rule index_experts."""

from babelscope.evidence.expert_tables import write_index
from babelscope.evidence.specificity import index_all
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    model, codes, p = job.wildcards.model, job.params.languages, job.params
    recordings = Recordings(job)
    counts = {"main": recordings.main, **recordings.of(p.others)}
    indices = index_all(counts, select_languages(job.input.languages, codes), p.threshold)
    write_index(job.output, indices, codes, p.n_most, model, p.threshold)


run_job(main, globals())
