"""Adaptor of rule evaluate_pruning."""

from babelscope.pruning.controls import ControlSettings
from babelscope.pruning.evaluate import Choice, evaluate_language
from babelscope.pruning.pruned_model import read_finished
from babelscope.pruning.tables import write_pruning
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang, p, plans = JobFiles(job), job.wildcards.lang, job.params, job.input.plans
    plan, distilled = read_finished(plans, files.info, lang, p.choice, p.distil)
    asked = (plan, files.frequency, lang, ControlSettings(**p.controls), Choice(**p.choice))
    more = (files.others(p.partitions), files.mean_square, distilled)
    row = evaluate_language(files.info, files.compute, files.corpus, files.partition, *asked, *more)
    write_pruning(job.output[0], row, files.info.name, lang, **p.choice)


run_job(main, globals())
