"""Adaptor of rule relate_families."""

from babelscope.evidence import families, predictors, replicates
from babelscope.files.tables import write_table
from babelscope.study.job import Job, run_job
from babelscope.study.languages import select_languages


def main(job: Job) -> None:
    model, codes = job.wildcards.model, job.params.languages
    languages = select_languages(job.input.languages, codes)
    found = predictors.read_predictors(languages, job.input.tokens, job.input.texts, model)
    drawn = replicates.read_replicates(job.input.replicates, model, codes)
    question = (replicates.corrected_distances(drawn), languages, found, job.params.seed, drawn.partitions)
    tests = families.relate_to_families(*question)
    write_table(job.output.table, tests, families.FAMILY_COLUMNS)
    families.write_family_tests(job.output.tests, tests, found, codes, model)


run_job(main, globals())
