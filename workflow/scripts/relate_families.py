"""Adaptor of rule relate_families."""

from babelscope.evidence import families, replicates
from babelscope.files.tables import write_table
from babelscope.study.job import run_job
from babelscope.study.languages import select_languages


def main(smk):
    model, languages = smk.wildcards.model, select_languages(smk.input.languages, smk.params.languages)
    found = replicates.read_replicates(smk.input.replicates, model, smk.params.languages)
    question = (languages, families.read_predictors(languages, smk.input.tokens, model), smk.params.seed)
    tests = families.relate_to_families(replicates.corrected_distances(found), *question)
    write_table(smk.output.table, tests, families.FAMILY_COLUMNS)
    families.write_family_tests(smk.output.tests, tests, model)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
