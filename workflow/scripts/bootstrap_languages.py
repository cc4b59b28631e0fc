"""Adaptor of rule bootstrap_languages."""

from babelscope.evidence.intervals import write_bootstrap
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    recordings, p = Recordings(job), job.params
    languages = select_languages(job.input.languages, p.languages)
    domains = recordings.of_domains(job.input.domains, p.domains)
    asked = (recordings.main, recordings.of(p.partitions), languages, domains, job.input.paper, job.output)
    write_bootstrap(*asked, job.wildcards.model, **p.settings)


run_job(main, globals())
