"""Adaptor of rule judge_sweep."""

from babelscope.evidence.robustness import read_judges, read_main
from babelscope.evidence.sweep import judge_sweep, read_points, write_sweep
from babelscope.study.job import run_job


def main(smk):
    model, codes, scales = smk.wildcards.model, smk.params.languages, smk.params.scales
    points = read_points({name: smk.input[name] for name in scales}, scales, model, codes)
    judges = read_judges(smk.input, codes, model, **smk.params.judges)
    found = judge_sweep(points, read_main(smk.input, model, codes), judges, smk.params.threshold)
    write_sweep(smk.output, *found)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
