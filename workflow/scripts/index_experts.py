"""Adaptor of rule index_experts."""

from babelscope.evidence.expert_tables import write_index
from babelscope.evidence.specificity import index_experts
from babelscope.recording.counts import read_recordings
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    codes, languages = job.params.languages, select_languages(job.input.languages, job.params.languages)
    counts = read_recordings(job.input.activations, job.wildcards.model, codes)
    index = index_experts(counts, languages, job.params.threshold)
    write_index(job.output.index, job.output.specific, index, codes, job.params.n_most)


run_job(main, globals())
