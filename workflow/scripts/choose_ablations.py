"""Adaptor of rule choose_ablations."""

from babelscope.files.record import write_record
from babelscope.pruning.ablation import read_ablations
from babelscope.pruning.tables import ABLATION_UNITS
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, codes = JobFiles(job), job.params.languages
    units = dict(zip(codes, job.input.neurons, strict=True))
    asked = (files.info, files.partition, job.input.index, files.frequencies(codes), units)
    rows = read_ablations(*asked, threshold=job.params.threshold, n_controls=job.params.n_controls)
    said = {"model": files.info.name, "languages": list(codes)}
    write_record(job.output[0], ABLATION_UNITS, {"rows": rows}, **said)


run_job(main, globals())
