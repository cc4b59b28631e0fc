"""Adaptor of rule save_config."""

import yaml

from babelscope.files.whole import write_text
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    write_text(job.output[0], yaml.safe_dump(dict(job.params.config), sort_keys=False, allow_unicode=True))


run_job(main, globals())
