"""Adaptor of rule evaluate_selectors."""

from babelscope.files.record import write_record
from babelscope.pruning.causal import CausalSettings, run_causal_test
from babelscope.pruning.causal_files import read_evidence
from babelscope.pruning.tables import SELECTORS_TEST
from babelscope.recording.job_files import JobFiles
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    files, lang, codes = JobFiles(job), job.wildcards.lang, job.params.languages
    corpora = dict(zip(codes, files.corpora(codes), strict=True))
    evidence = read_evidence(files, dict(zip(codes, job.input.neurons, strict=True)), corpora[lang])
    settings = CausalSettings(**job.params.settings)
    found = run_causal_test(files.info, files.compute, corpora, lang, evidence, settings)
    write_record(job.output[0], SELECTORS_TEST, found, language=lang, model=files.info.name)


run_job(main, globals())
