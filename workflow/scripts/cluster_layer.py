"""Adaptor of rule cluster_layer."""

from babelscope.experts.cut import cut_layer
from babelscope.experts.layer_file import write_layer_experts
from babelscope.model.info import read_model_info
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info, layer, p = (
        read_model_info(job.input.model, job.config["model_definitions"]),
        int(job.wildcards.layer),
        job.params,
    )
    result, reference = cut_layer(info, layer, **p.experts, seed=p.seed, n_threads=job.threads)
    write_layer_experts(job.output[0], result, reference, info.name, layer, p.experts["matrix"])


run_job(main, globals())
