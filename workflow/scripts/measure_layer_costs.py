"""Adaptor of rule measure_layer_costs."""

from babelscope.pruning.layer_costs import Reference, write_layer_costs
from babelscope.pruning.loss_budgets import measure_reference
from babelscope.pruning.methods import METHODS
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, reference = JobFiles(job), Reference(**job.params.reference)
    corpora = files.corpora(reference.languages)
    settings = METHODS[reference.method].settings(files.info.family)
    costs, sha256 = measure_reference(files.info, files.compute, corpora, reference.n_documents, settings)
    write_layer_costs(job.output[0], costs, files.info.name, reference, documents_sha256=sha256)


run_job(main, globals())
