"""Adaptor of rule evaluate_matrix."""

from babelscope.files.record import write_record
from babelscope.pruning.matrix import choose_for_targets, evaluate_under_experts
from babelscope.pruning.pruned_model import read_plans
from babelscope.pruning.tables import MATRIX
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    choices = choose_for_targets(p.choices, p.targets, files.frequencies(p.languages))
    plans = read_plans(job.input.plans, files.info, p.targets, **p.choices["threshold"])
    asked = (files.corpus, files.partition, choices, plans, p.n_profile, p.n_heldout)
    result = evaluate_under_experts(files.info, files.compute, *asked)
    write_record(job.output[0], MATRIX, result, language=job.wildcards.lang, model=files.info.name)


run_job(main, globals())
