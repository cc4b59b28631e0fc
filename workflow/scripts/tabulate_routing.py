"""Adaptor of rule tabulate_routing."""

from babelscope.evidence.routing import ROUTING_COLUMNS, RoutingSettings, tabulate_routing
from babelscope.files.tables import write_table
from babelscope.recording.recordings import Recordings
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    codes = list(job.params.languages)
    recordings, settings = Recordings(job), RoutingSettings(**job.params.settings)
    rows = tabulate_routing(recordings.main, codes, settings, recordings.sentences)
    write_table(job.output[0], rows, ROUTING_COLUMNS)


run_job(main, globals())
