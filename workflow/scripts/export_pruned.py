"""Adaptor of rule export_pruned."""

import shutil
from pathlib import Path

from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.load import load_model
from babelscope.pruning.export import export_pruned
from babelscope.pruning.pruned_model import read_plan
from babelscope.study.job import run_job


def main(smk):
    info = read_model_info(smk.input.model)
    target = smk.wildcards.target
    plan = read_plan(smk.input.plan, info, target)
    about = (
        f"# {info.name}, for {', '.join(smk.params.languages)}\n\nThe feed-forward neurons of {info.name} "
        f"({info.origin}) that serve {target}: {plan.keep.mean():.1%} of them. The kept columns of the "
        "down projections were corrected by least squares (Babelscope). The licence of the dense model holds."
    )
    for form, folder in (("sliced", smk.output.sliced), ("padded", smk.output.padded)):
        part = Path(f"{folder}.part")
        shutil.rmtree(part, ignore_errors=True)
        model = load_model(info, Compute(smk.params.dtype, "cpu"))
        export_pruned(model, plan, info.path, part, about, padded=form == "padded")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821
