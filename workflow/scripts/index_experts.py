"""Adaptor of rule index_experts."""

from babelscope.evidence.expert_tables import write_index
from babelscope.evidence.specificity import index_all
from babelscope.recording.counts import read_recordings
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    model, codes, p = job.wildcards.model, job.params.languages, job.params
    others = {name: read_recordings(job.input[name], model, codes, name) for name in p.others}
    counts = {"main": read_recordings(job.input.activations, model, codes), **others}
    indices = index_all(counts, select_languages(job.input.languages, codes), p.threshold)
    write_index(job.output, indices, codes, p.n_most)


run_job(main, globals())
