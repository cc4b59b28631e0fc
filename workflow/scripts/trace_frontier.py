"""Adaptor of rule trace_frontier."""

from babelscope.files.record import write_record
from babelscope.pruning.frontier import trace_frontier
from babelscope.pruning.tables import FRONTIER
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang = JobFiles(job), job.wildcards.lang
    asked = (files.corpus, files.partition, files.frequency, lang)
    rows = trace_frontier(files.info, files.compute, *asked, **job.params.frontier)
    write_record(job.output[0], FRONTIER, {"rows": rows}, language=lang, model=files.info.name)


run_job(main, globals())
