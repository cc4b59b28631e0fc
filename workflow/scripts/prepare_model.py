"""Adaptor of rule prepare_model."""

from babelscope.model.info import write_model_info
from babelscope.model.prepare import prepare_model
from babelscope.model.weights_digest import NOTES
from babelscope.study.collector import paused_collector
from babelscope.study.job import LEFT_OUT, Job, leave_out, run_job


def main(job: Job) -> None:
    leave_out(LEFT_OUT)
    with paused_collector():
        info = prepare_model(job.wildcards.model, job.params.definition, job.params.weights, NOTES)
    write_model_info(job.output[0], info)


run_job(main, globals(), network=True)
