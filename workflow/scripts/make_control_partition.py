"""Adaptor of rule make_control_partition."""

from babelscope.experts.controls import cut_experts
from babelscope.experts.partition import write_partition
from babelscope.model.info import read_model_info
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info = read_model_info(job.input.model, job.config["model_definitions"])
    p, variant = job.params, job.params.variant
    options = {"method": variant["method"], "matrix": p.matrix, "seed": variant.get("seed", p.seed)}
    options["normalize_rows"] = p.normalize_rows
    asked = {"n_experts": variant["n_experts"], "n_threads": job.threads, "device": p.device}
    partition = cut_experts(info, **asked, **options)
    write_partition(job.output[0], partition, model=info.name, variant=job.wildcards.variant, **options)


run_job(main, globals())
