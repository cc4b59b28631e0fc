"""Adaptor of rule judge_recordings."""

from babelscope.evidence.robustness import judge_study, read_judges, read_main, write_verdicts
from babelscope.recording.counts import read_recordings
from babelscope.study.job import run_job


def main(smk):
    model, codes, settings = smk.wildcards.model, smk.params.languages, smk.params.settings
    judges, main_study = (
        read_judges(smk.input, codes, model, **smk.params.judges),
        read_main(smk.input, model, codes),
    )
    counts = read_recordings(smk.input.activations, model, codes)
    controls = {name: read_recordings(smk.input[name], model, codes, name) for name in smk.params.controls}
    write_verdicts(smk.output, judge_study(main_study, counts, controls, judges, **settings))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
