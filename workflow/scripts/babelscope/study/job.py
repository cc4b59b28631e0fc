"""The frame of every adaptor: log, threads, GPUs, network, and errors without a traceback."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from babelscope.study.errors import BabelscopeError, printable
from babelscope.study.gpus import assign_gpus

logger = logging.getLogger("babelscope")
# transformers loads these where it finds them, for functions that no job calls: a third of its start.
LEFT_OUT = ("PIL", "pandas", "scipy", "sklearn", "trio")


class Job(Protocol):
    """The object that Snakemake gives to a script.

    Attributes
    ----------
    input, output, params, wildcards, resources : of the rule, by name.
    threads : that the job may use.
    config : the whole configuration.
    log : paths.
    """

    input: Any
    output: Any
    params: Any
    wildcards: Any
    resources: Any
    threads: int
    config: Mapping[str, Any]
    log: Sequence[str]


def run_job(main: Callable[[Job], None], script: Mapping[str, Any], *, network: bool = False) -> None:
    """Run an adaptor as a Snakemake job; where it is imported, nothing is run.

    Messages of the ``babelscope`` logger go to the rule's log file and to standard error, ``printable``. The
    numeric libraries get the rule's threads. A rule that declares the resource ``gpu`` sees the GPUs that it
    gets and no others. Without ``network`` the hub is switched off: compute nodes of a cluster often have no
    way out, and a job must not try. A ``BabelscopeError`` ends the job with its message alone.

    Parameters
    ----------
    main : the adaptor.
    script : the script's ``globals()``: Snakemake puts the job there, as ``snakemake``.
    network : True for the rules that may fetch from the hub.
    """
    if "snakemake" not in script:
        return
    job: Job = script["snakemake"]
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if job.log:
        Path(job.log[0]).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(job.log[0], mode="w", encoding="utf-8"))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    for handler in handlers:
        handler.setFormatter(_Printable("%(asctime)s %(message)s"))
    logger.setLevel(logging.INFO)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not network:
        os.environ["HF_HUB_OFFLINE"] = "1"
    lease = None
    try:
        limit_threads(job.threads)
        slots = getattr(getattr(job, "resources", None), "gpu", None)
        runs_model = hasattr(getattr(job, "params", None), "compute")
        if runs_model:
            leave_out(LEFT_OUT)
        if slots:
            # seconds in which another job may still have the GPU; none of it looks for one
            import_module("transformers.modeling_utils" if runs_model else "torch")
        if slots is not None:
            lease = assign_gpus(slots, job.config["gpus"]["jobs_per_gpu"])
        main(job)
    except BabelscopeError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logger.error("stopped before its end: run again to make what is missing")
        raise
    except BaseException as error:
        if type(error).__name__ == "OutOfMemoryError":
            logger.error(
                "error: out of GPU memory (%s); a lower tokens_per_batch, a smaller dtype, a higher "
                "gpu_memory_gb, or device_map: auto with more GPUs need less of each",
                str(error).partition("\n")[0],
            )
            sys.exit(1)
        logger.exception("unexpected error: this is a defect of Babelscope, please report it with this log")
        raise
    finally:
        if lease is not None:
            lease.close()


class _Printable(logging.Formatter):
    """Lines that no name of a file can make a terminal obey."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def leave_out(packages: Sequence[str]) -> None:
    """Let a job that runs a model do without packages, but for those that it has imported already."""
    for name in packages:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def limit_threads(n_threads: int) -> None:
    """Let BLAS and, where it is loaded, torch use this many threads."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(n_threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n_threads)
