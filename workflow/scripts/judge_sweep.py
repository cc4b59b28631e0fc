"""Adaptor of rule judge_sweep."""

from babelscope.evidence.claims import CLAIM_COLUMNS, read_claims
from babelscope.evidence.families import predictors_of
from babelscope.evidence.intervals import PAIR_COLUMNS, read_distances
from babelscope.evidence.models import AGREEMENT_COLUMNS
from babelscope.evidence.robustness import ROBUSTNESS_COLUMNS
from babelscope.evidence.sweep import SweepPoint, judge_sweep
from babelscope.files.tables import read_table, write_table
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
    points = {
        name: SweepPoint(counts[k * n : (k + 1) * n], scale)
        for k, (name, scale) in enumerate(smk.params.scales.items())
    }
    claims = read_claims(read_table(smk.input.claims, CLAIM_COLUMNS))
    distances = read_distances(read_table(smk.input.pairs, PAIR_COLUMNS), codes, "corrected")
    predictors, paper = predictors_of(languages, corpora), read_json(smk.input.paper)
    job = (points, claims, distances, languages, predictors, paper)
    rows, agreement = judge_sweep(*job, **smk.params.settings)
    write_table(smk.output.verdicts, rows, ROBUSTNESS_COLUMNS)
    write_table(smk.output.agreement, agreement, AGREEMENT_COLUMNS)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
