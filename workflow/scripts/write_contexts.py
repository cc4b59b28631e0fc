"""Adaptor of rule write_contexts."""

from babelscope.explorer.contexts import write_all
from babelscope.explorer.units import read_units
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages
from babelscope.text.tokenise import load_encoder


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    languages = select_languages(job.input.languages, p.languages)
    units = read_units(job.input, files.info.name, languages, p.threshold, p.units)
    write_all(job.input, job.output, units, files, load_encoder(files.info), p.languages, **p.written)


run_job(main, globals())
