"""Adaptor of rule judge_recordings."""

from babelscope.evidence.claims import CLAIM_COLUMNS
from babelscope.evidence.families import predictors_of
from babelscope.evidence.models import AGREEMENT_COLUMNS
from babelscope.evidence.robustness import ROBUSTNESS_COLUMNS, judge_study
from babelscope.files.tables import write_table
from babelscope.files.whole import read_json
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job
from babelscope.study.languages import read_languages
from babelscope.text.tokens import read_tokens


def main(smk):
    model, codes, table = smk.wildcards.model, list(smk.params.languages), read_languages(smk.input.languages)
    languages, n = [table[code] for code in codes], len(codes)
    corpora = [read_tokens(path, model, code) for path, code in zip(smk.input.tokens, codes, strict=True)]
    counts = [read_activations(path, model) for path in smk.input.activations]
    of_controls = [read_activations(path, model) for path in smk.input.controls]
    controls = {name: of_controls[k * n : (k + 1) * n] for k, name in enumerate(smk.params.controls)}
    predictors = predictors_of(languages, corpora)
    paper, settings = read_json(smk.input.paper), dict(smk.params.settings)
    found = judge_study(counts, controls, languages, predictors, paper, **settings)
    write_table(smk.output.claims, found.main, CLAIM_COLUMNS)
    write_table(smk.output.robustness, found.robustness, ROBUSTNESS_COLUMNS)
    write_table(smk.output.agreement, found.agreement, AGREEMENT_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
