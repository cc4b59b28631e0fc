"""Adaptor of rule trace_frontier."""

from babelscope.files.whole import write_json
from babelscope.pruning.frontier import trace_frontier
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang = JobFiles(job), job.wildcards.lang
    asked = (files.corpus, files.partition, files.frequency, lang)
    rows = trace_frontier(files.info, files.compute, *asked, **job.params.frontier)
    write_json(job.output[0], [{"language": lang, **row} for row in rows])


run_job(main, globals())
