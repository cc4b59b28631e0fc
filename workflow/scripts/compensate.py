"""Adaptor of rule compensate."""

from babelscope.pruning.evaluate import Choice, plan_pruning
from babelscope.pruning.layer_costs import Reference, read_layer_costs
from babelscope.pruning.pruned_model import write_plan
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p, out = JobFiles(job), job.params, job.output[0]
    corpora, others = files.corpora(p.languages), files.corpora(p.other_languages, job.input.others)
    costs = [read_layer_costs(path, files.info, Reference(**p.fit["reference"])) for path in job.input.costs]
    asked = (corpora, files.partition, list(files.frequencies(p.languages, corpora).values()))
    fit = (Choice(**p.choice), p.fit["documents"], others, p.fit["pooled"], *costs)
    plan, fits = plan_pruning(files.info, files.compute, *asked, *fit)
    write_plan(out, plan, fits, files.info.name, job.wildcards.target, p.languages, **p.choice, **p.fit)


run_job(main, globals())
