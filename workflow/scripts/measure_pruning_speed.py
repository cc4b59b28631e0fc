"""Adaptor of rule measure_pruning_speed."""

import os

# This job has all cores to itself: threads that spin take up work at once, sleeping ones make the many small
# steps between the matrix products seven times slower. Read when torch is loaded.
os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
os.environ["KINETO_LOG_LEVEL"] = "99"  # torch's profiler tells of every start and stop

from babelscope.files.whole import write_text
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.load import load_model
from babelscope.pruning.pruned_model import read_plan
from babelscope.pruning.speed import SpeedSettings, choose_extremes, measure_speed, speed_table
from babelscope.study.job import run_job
from babelscope.study.progress import progress
from babelscope.text.tokens import read_tokens


def main(smk):
    info = read_model_info(smk.input.model)
    plans = {
        lang: read_plan(path, info, lang)
        for lang, path in zip(smk.params.languages, smk.input.plans, strict=True)
    }
    if smk.params.models == "extremes":
        plans = {
            lang: plans[lang] for lang in choose_extremes({k: int(p.keep.sum()) for k, p in plans.items()})
        }
    text = read_tokens(smk.input.tokens, info.name, smk.params.languages[0]).token_ids
    model = load_model(info, Compute(**smk.params.compute))
    settings = SpeedSettings()
    rows = []
    with progress(2 * len(plans) * len(settings.batch_sizes), "timings", "measuring speed") as bar:
        for row in measure_speed(model, plans, text, settings):
            rows.append(row)
            bar.update(1)
    write_text(smk.output[0], speed_table(rows))


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
