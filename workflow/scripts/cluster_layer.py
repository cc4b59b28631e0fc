"""Adaptor of rule cluster_layer: one layer, or several one after the other."""

from babelscope.experts.cut import cut_layer
from babelscope.experts.layer_file import layer_of, write_layer_experts
from babelscope.model.info import read_model_info
from babelscope.study.job import Job, run_job


def main(job: Job) -> None:
    info, p = read_model_info(job.input.model, job.config["model_definitions"]), job.params
    for path in job.output:
        layer = layer_of(path)
        result, reference = cut_layer(info, layer, **p.experts, seed=p.seed, n_threads=job.threads)
        write_layer_experts(path, result, reference, info.name, layer, p.experts["matrix"])


run_job(main, globals())
