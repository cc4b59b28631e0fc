"""Adaptor of rule evaluate_pruning."""

from babelscope.files.whole import write_json
from babelscope.pruning.controls import ControlSettings
from babelscope.pruning.evaluate import evaluate_language
from babelscope.pruning.pruned_model import read_plan
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang, p = JobFiles(job), job.wildcards.lang, job.params
    plan, controls = read_plan(job.input.plan, files.info, lang), ControlSettings(**p.controls)
    asked = (files.corpus, files.partition, plan, files.frequency, lang, controls)
    result = evaluate_language(files.info, files.compute, *asked)
    write_json(job.output[0], {"language": lang, "model": files.info.name, **p.choice, **result})


run_job(main, globals())
