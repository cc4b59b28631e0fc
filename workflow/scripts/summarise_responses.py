"""Adaptor of rule summarise_responses."""

from babelscope.files.tables import write_table
from babelscope.responses.measures import RESPONSE_MODES, summarise_responses
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    pairs, model = list(zip(job.input, job.params.languages, strict=True)), job.wildcards.model
    rows = [summarise_responses(path, model, lang, mode) for path, lang in pairs for mode in RESPONSE_MODES]
    write_table(job.output[0], rows, tuple(rows[0]))


run_job(main, globals())
