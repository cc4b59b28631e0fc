"""Needs of jobs: threads, memory, time, GPUs. None of it changes a result.

Needs: the configuration, the GPUs that are visible, what a cluster's profile says of its GPU nodes. Makes: nothing.
"""

import json

from babelscope.study.gpus import visible_gpus

JOBS_PER_GPU = config["gpus"]["jobs_per_gpu"]
GPUS = visible_gpus()
# Snakemake reads rules before it knows its executor; a number of jobs to submit means a cluster.
SUBMITS = workflow.is_main_process and workflow.resource_settings.nodes is not None
# A job more than each GPU has room for: it imports what it needs and waits for the lock of the one before.
GPU_JOBS = len(GPUS) * (JOBS_PER_GPU + 1)
if not SUBMITS:
    # The processes of the jobs need not look again.
    os.environ.update(BABELSCOPE_GPUS=",".join(GPUS))
    GPU_LIMIT = workflow.global_resources.get("gpu").value
    if GPUS and (GPU_LIMIT is None or GPU_LIMIT > GPU_JOBS):
        workflow.register_resource("gpu", GPU_JOBS)
    elif GPUS:
        GPU_JOBS = GPU_LIMIT
# Where a scheduler has the jobs, threads are what a job asks for, on the node too and in the processes below it.
if SUBMITS or workflow.remote_exec:
    os.environ.setdefault("BABELSCOPE_THREADS", "8")
CORES = workflow.resource_settings.cores or 16


def threads_of(n_jobs):
    """Threads of a job of which `n_jobs` run at once."""
    return int(os.getenv("BABELSCOPE_THREADS") or max(1, CORES // n_jobs))


# Of a job that works on the CPU: four at once with few threads each are half as fast again as one with all.
CPU_THREADS = threads_of(4)
# Of a job on a GPU, so that as many run at once as the GPUs have room for.
GPU_THREADS = threads_of(max(4, GPU_JOBS))
# Of a job that should have the machine to itself.
ALL_THREADS = int(os.getenv("BABELSCOPE_THREADS", "16"))


def scheduler_has_gpus():
    """Whether jobs go to a scheduler, which knows its GPUs; jobs that run here share what is visible here."""
    return SUBMITS and workflow.non_local_exec_or_dryrun


def gpu_slots(device, n_gpus=1, whole=False):
    """Resource `gpu` of a job: GPUs of a scheduler, or slots of the visible GPUs; 0 where it runs without one."""
    if device == "cpu":
        return 0
    if ":" in device:
        # cuda:1 is the second of two
        n_gpus = int(device.split(":")[1]) + 1
    if scheduler_has_gpus():
        return n_gpus
    n_gpus = min(n_gpus, len(GPUS))
    return n_gpus * JOBS_PER_GPU if whole or n_gpus > 1 else n_gpus


def model_gpus(wildcards, whole=False):
    """GPUs of a job that runs a model; `whole`: no other job may share them."""
    model = definition(wildcards)
    return gpu_slots(model["device"], n_gpus=model["gpus"], whole=whole)


def model_threads(wildcards):
    """Threads of a job that runs a model."""
    return GPU_THREADS if model_gpus(wildcards) else CPU_THREADS


def clusters_on_gpu():
    """Whether neurons are clustered on a GPU; `auto` takes none from a scheduler, which seconds do not pay for.

    The same in the process that submits a job and in the one that runs it.
    """
    device = config["experts"]["device"]
    if device == "auto":
        return bool(GPUS) and not (SUBMITS or workflow.remote_exec)
    return device.startswith("cuda")


def clustering_gpus():
    """GPUs of a job that clusters neurons."""
    return gpu_slots(config["experts"]["device"]) if clusters_on_gpu() else 0


def model_memory(wildcards, attempt):
    """Host memory in MB of a job that runs a model: more with each attempt."""
    return definition(wildcards)["memory_mb"] * attempt


def growing(amount):
    """Memory in MB, or time in minutes, that grows with each attempt: a job killed for want of it gets more."""
    return lambda wildcards, attempt: amount * attempt


def at_gpu_nodes(with_gpu, without):
    """A resource whose value depends on whether the job needs a GPU."""
    return lambda wildcards: with_gpu if model_gpus(wildcards) else without


# Partition and model of GPU nodes, from the profile of a cluster that has them.
GPU_SITE = json.loads(os.getenv("BABELSCOPE_GPU_NODES", "{}"))
GPU_NODES = {name: at_gpu_nodes(*values) for name, values in GPU_SITE.items()}
# The same for a job that has a GPU in any case.
GPU_NODES_ALWAYS = {name: with_gpu for name, (with_gpu, _) in GPU_SITE.items()}
