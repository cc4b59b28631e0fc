"""Adaptor of rule write_explorer."""

from babelscope.explorer.write import write_explorer
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    page = (job.output[0], job.input, files.info.name, select_languages(job.input.languages, p.languages))
    write_explorer(*page, files.experts, p.controls, choice=p.choice, n_most=p.n_most, seed=p.seed)


run_job(main, globals())
