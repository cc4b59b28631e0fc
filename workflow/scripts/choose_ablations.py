"""Adaptor of rule choose_ablations."""

from babelscope.files.whole import write_json
from babelscope.pruning.ablation import read_ablations
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, codes = JobFiles(job), job.params.languages
    units = dict(zip(codes, job.input.neurons, strict=True))
    asked = (files.info, files.partition, job.input.index, files.frequencies(codes), units)
    write_json(job.output[0], read_ablations(*asked, n_controls=job.params.n_controls))


run_job(main, globals())
