"""Adaptor of rule read_running_text."""

import os

os.environ["USE_TORCH"] = "0"  # `datasets` would load it, seconds of every job, and use it for nothing

from babelscope.files.record import write_record
from babelscope.study.job import Job, run_job
from babelscope.text.running import RUNNING_TEXT, read_running_text


def main(job: Job) -> None:
    part = job.wildcards.part
    text = read_running_text(job.params.source, part)
    write_record(job.output[0], RUNNING_TEXT, {"text": text}, part=part)


run_job(main, globals(), network=True)
