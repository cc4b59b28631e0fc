"""Adaptor of rule measure_perplexity."""

from babelscope.files.record import read_record
from babelscope.files.tables import write_table
from babelscope.pruning.perplexity import PERPLEXITY_COLUMNS, PerplexitySettings, measure_perplexity
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job
from babelscope.text.running import RUNNING_TEXT


def main(job: Job) -> None:
    files, parts = JobFiles(job), ("calibration", "text")
    texts = {part: read_record(job.input[part], RUNNING_TEXT, part=part)["text"] for part in parts}
    settings = PerplexitySettings(**job.params.settings, seed=job.params.seed)
    rows = measure_perplexity(files.info, files.compute, **texts, settings=settings)
    write_table(job.output[0], rows, PERPLEXITY_COLUMNS)


run_job(main, globals())
