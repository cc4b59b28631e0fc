"""Adaptor of rule relate_families."""

from babelscope.evidence.families import FAMILY_COLUMNS, predictors_of, relate_to_families
from babelscope.evidence.intervals import PAIR_COLUMNS, read_distances
from babelscope.files.tables import read_table, write_table
from babelscope.study.job import run_job
from babelscope.study.languages import read_languages
from babelscope.text.tokens import read_tokens


def main(smk):
    model, codes = smk.wildcards.model, list(smk.params.languages)
    table = read_languages(smk.input.languages)
    languages = [table[code] for code in codes]
    corpora = [read_tokens(path, model, code) for path, code in zip(smk.input.tokens, codes, strict=True)]
    distances = read_distances(read_table(smk.input.pairs, PAIR_COLUMNS), codes, "corrected")
    tests = relate_to_families(distances, languages, predictors_of(languages, corpora), smk.params.seed)
    write_table(smk.output[0], tests, FAMILY_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
