"""Adaptor of rule compare_sentences."""

from babelscope.evidence import sentences
from babelscope.files.tables import write_table
from babelscope.recording.together import read_files
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    model, p = job.wildcards.model, job.params
    counts = read_files(job.input.activations, model, p.languages).by_language
    rows, excess, retrieved = sentences.compare_sentences(counts, p.n_replicates, p.seed)
    write_table(job.output.table, rows, sentences.SENTENCE_COLUMNS)
    write_table(job.output.missing, sentences.translation_rows(counts), sentences.TRANSLATION_COLUMNS)
    sentences.write_sentences(job.output.layers, excess, retrieved, p.languages, model)


run_job(main, globals())
