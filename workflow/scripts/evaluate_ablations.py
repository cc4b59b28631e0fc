"""Adaptor of rule evaluate_ablations."""

from babelscope.files.whole import read_json, write_json
from babelscope.pruning.ablate import evaluate_ablations
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang = JobFiles(job), job.wildcards.lang
    asked = (files.corpus, read_json(job.input.units), job.params.n_heldout)
    found = evaluate_ablations(files.info, files.compute, *asked)
    write_json(job.output[0], {"language": lang, "model": files.info.name, **found})


run_job(main, globals())
