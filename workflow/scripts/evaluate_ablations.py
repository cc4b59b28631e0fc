"""Adaptor of rule evaluate_ablations."""

from babelscope.files.record import read_record, write_record
from babelscope.pruning.ablate import evaluate_ablations
from babelscope.pruning.tables import ABLATION, ABLATION_UNITS
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang = JobFiles(job), job.wildcards.lang
    units = read_record(job.input.units, ABLATION_UNITS, model=files.info.name)
    asked = (files.corpus, units["rows"], job.params.n_heldout)
    found = evaluate_ablations(files.info, files.compute, *asked)
    write_record(job.output[0], ABLATION, found, language=lang, model=files.info.name)


run_job(main, globals())
