"""Adaptor of rule tabulate_routing."""

from babelscope.evidence.routing import ROUTING_COLUMNS, RoutingSettings, tabulate_routing
from babelscope.files.tables import write_table
from babelscope.recording.counts import read_recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    codes = list(job.params.languages)
    counts = read_recordings(job.input.activations, job.wildcards.model, codes)
    rows = tabulate_routing(counts, codes, RoutingSettings(**job.params.settings))
    write_table(job.output[0], rows, ROUTING_COLUMNS)


run_job(main, globals())
