"""Adaptor of rule check_model."""

from babelscope.files.whole import write_json
from babelscope.model.load import load_model
from babelscope.recording.check import check_model, report_checks
from babelscope.recording.counts import count_top_k
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, p = JobFiles(job), job.params
    corpus, partition = files.read_corpus(job.input.tokens, p.lang), files.partition
    top_k = count_top_k(p.top_fraction, partition.n_layers, partition.n_experts)
    model = load_model(files.info, files.compute)
    checks = check_model(model, files.info, corpus, partition, top_k, p.n_tokens)
    write_json(job.output[0], report_checks(checks, files.info.name, p.compute["dtype"], p.n_tokens))


run_job(main, globals())
