"""Adaptor of rule compensate."""

from babelscope.pruning.evaluate import Choice, plan_pruning
from babelscope.pruning.pruned_model import write_plan
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    corpora = files.corpora(p.languages)
    frequencies = list(files.frequencies(p.languages, corpora).values())
    others = [files.read_corpus(*pair) for pair in zip(job.input.others, p.other_languages, strict=True)]
    asked = (corpora, files.partition, frequencies, Choice(**p.choice), p.documents, others, p.pooled)
    plan, fits = plan_pruning(files.info, files.compute, *asked)
    parameters = {**p.choice, "documents": p.documents, "pooled": p.pooled}
    write_plan(job.output[0], plan, fits, files.info.name, job.wildcards.target, p.languages, **parameters)


run_job(main, globals())
