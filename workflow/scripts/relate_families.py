"""Adaptor of rule relate_families."""

from babelscope.evidence import families, predictors, replicates
from babelscope.files.tables import write_table
from babelscope.study.job import run_job
from babelscope.study.languages import select_languages


def main(smk):
    model, codes = smk.wildcards.model, smk.params.languages
    languages = select_languages(smk.input.languages, codes)
    found = predictors.read_predictors(languages, smk.input.tokens, smk.input.texts, model)
    distances = replicates.corrected_distances(replicates.read_replicates(smk.input.replicates, model, codes))
    tests = families.relate_to_families(distances, languages, found, smk.params.seed)
    write_table(smk.output.table, tests, families.FAMILY_COLUMNS)
    families.write_family_tests(smk.output.tests, tests, found, codes, model)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
