"""Adaptor of rule evaluate_pruning."""

from babelscope.files.record import write_record
from babelscope.pruning.controls import ControlSettings
from babelscope.pruning.evaluate import Choice, evaluate_language
from babelscope.pruning.pruned_model import read_plan
from babelscope.pruning.tables import PRUNING
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang, p = JobFiles(job), job.wildcards.lang, job.params
    plan, controls = read_plan(job.input.plan, files.info, lang, **p.choice), ControlSettings(**p.controls)
    asked = (files.corpus, files.partition, plan, files.frequency, lang, controls, Choice(**p.choice))
    row = evaluate_language(files.info, files.compute, *asked, files.others(p.partitions), files.mean_square)
    write_record(job.output[0], PRUNING, row, language=lang, model=files.info.name, **p.choice)


run_job(main, globals())
