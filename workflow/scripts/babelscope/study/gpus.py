"""GPUs of this machine: which there are, and one for each job that needs one.

Snakemake counts GPUs and does not say which job gets which. So a job takes one by locking a file: the system
frees the lock when the job ends, however it ends. Rule files import this: standard library alone.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from babelscope.study.errors import BabelscopeError

logger = logging.getLogger("babelscope")

# Names a scheduler gives to its jobs: each of them has GPUs of its own, often numbered from 0.
_SCHEDULER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
_SECONDS_BETWEEN_TRIES = 0.5
_SECONDS_TO_END = 10.0  # of a job whose lock is free, at most


def visible_gpus() -> list[str]:
    """Names of the GPUs that jobs may use: UUIDs where the driver tells them, else numbers.

    ``BABELSCOPE_GPUS`` (names separated by commas; empty: none) is believed as it stands. Otherwise the GPUs
    are those of ``CUDA_VISIBLE_DEVICES``, or all that the driver lists.
    """
    given = os.environ.get("BABELSCOPE_GPUS")
    if given is not None:
        return _names(given)
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None and (not _names(allowed) or _names(allowed)[0] == "-1"):
        return []
    installed = _installed_gpus()
    if allowed is None:
        return installed
    return [
        installed[int(name)] if name.isdigit() and int(name) < len(installed) else name
        for name in _names(allowed)
    ]


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _installed_gpus() -> list[str]:
    """GPUs that ``nvidia-smi`` lists, else those in the driver's folder, else none."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
        names = _listed(listed)
    except (OSError, subprocess.SubprocessError):
        names = []
    if not names:
        names = [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
    return names


def _listed(text: str) -> list[str]:
    """UUIDs in the output of ``nvidia-smi -L``: of a GPU that is cut into parts (MIG) those of its parts."""
    names: list[str] = []
    for uuid in re.findall(r"UUID: ((?:GPU|MIG)-[^)\s]+)", text):
        if uuid.startswith("MIG") and names and names[-1].startswith("GPU"):
            names.pop()
        names.append(uuid)
    return names


def lock_folder() -> Path:
    """Folder of the locks, made where missing: of this user on this machine, and of this job of a scheduler.

    Raises
    ------
    BabelscopeError
        Where the folder belongs to someone else.
    """
    named = os.environ.get("BABELSCOPE_GPU_LOCKS")
    folder = Path(named or f"/tmp/babelscope-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise BabelscopeError(f"{folder}: the folder of GPU locks belongs to another user; remove it")
    job = next((os.environ[name] for name in _SCHEDULER_JOBS if os.environ.get(name)), None)
    if job is not None:
        folder /= re.sub(r"[^A-Za-z0-9._-]", "_", job)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@dataclass
class GpuLease:
    """GPUs held by this process until it ends, however it ends, or closes the lease.

    Attributes
    ----------
    gpus : names, as ``CUDA_VISIBLE_DEVICES`` takes them.
    descriptors : of the locked files.
    """

    gpus: list[str]
    descriptors: list[int]

    def close(self) -> None:
        """Give the GPUs back."""
        while self.descriptors:
            os.close(self.descriptors.pop())


def take_gpus(n_slots: int, jobs_per_gpu: int = 1) -> GpuLease:
    """Wait for GPUs that are free, and hold them.

    Parameters
    ----------
    n_slots : the job's resource ``gpu``; each GPU has ``jobs_per_gpu`` slots. One slot is a share of a GPU
        where GPUs are shared, a multiple of ``jobs_per_gpu`` means whole GPUs.
    jobs_per_gpu : jobs that may share a GPU.

    Raises
    ------
    BabelscopeError
        Where fewer GPUs are visible than are asked for, or the number of slots is neither one nor whole GPUs.
    """
    n_whole, rest = divmod(n_slots, jobs_per_gpu)
    if n_slots != 1 and (rest or not n_whole):
        raise BabelscopeError(
            f"resource gpu: {n_slots} slots asked for; "
            f"need 1 or a multiple of gpus.jobs_per_gpu ({jobs_per_gpu})"
        )
    gpus = visible_gpus()
    if len(gpus) < max(n_whole, 1):
        raise BabelscopeError(f"resource gpu: {max(n_whole, 1)} GPUs needed, visible are {len(gpus)}: {gpus}")
    folder = lock_folder()
    taken = _try(folder, gpus, n_whole, jobs_per_gpu)
    if taken is None:
        logger.info("waiting for a free GPU of %s", ", ".join(gpus))
    while taken is None:
        time.sleep(_SECONDS_BETWEEN_TRIES)
        taken = _try(folder, gpus, n_whole, jobs_per_gpu)
    _succeed(taken.descriptors)
    return taken


def _succeed(descriptors: Sequence[int]) -> None:
    """Wait for the end of the jobs that had the locks before; leave this process's number for the next.

    A GPU's memory is free when the process has ended, which is up to a second after its lock. Who gave the
    memory back before has left no number.
    """
    end = time.monotonic() + _SECONDS_TO_END
    for descriptor in descriptors:
        before = os.pread(descriptor, 32, 0)
        while before.isdigit() and _runs(int(before)) and time.monotonic() < end:
            time.sleep(0.05)
        _leave(descriptor, str(os.getpid()))


def _leave(descriptor: int, number: str) -> None:
    """Write the number of the process that may still be on the GPU; empty: none is."""
    with suppress(OSError):  # on a full disk the next job does not wait
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, number.encode(), 0)


def _runs(pid: int) -> bool:
    """Whether a process other than this one still has what it had."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
        # behind the name: state, and as the 18th the number of threads
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's, or a system without /proc
        return True
    # the last thread gives back what the process had: the main one may be dead before
    return said[0] not in "ZX" or int(said[17]) > 1


def _try(folder: Path, gpus: list[str], n_whole: int, jobs_per_gpu: int) -> GpuLease | None:
    """Some whole GPUs, or one slot where ``n_whole`` is 0; nothing where that is not free at once."""
    if not n_whole:
        # the first slot of every GPU before the second of one: jobs spread before they share
        for slot in range(jobs_per_gpu):
            for gpu in gpus:
                if (descriptor := _lock(folder, gpu, slot)) is not None:
                    return GpuLease([gpu], [descriptor])
        return None
    lease = GpuLease([], [])
    for gpu in gpus:
        locks = GpuLease([gpu], [])
        for slot in range(jobs_per_gpu):
            if (descriptor := _lock(folder, gpu, slot)) is None:
                locks.close()
                break
            locks.descriptors.append(descriptor)
        else:
            lease.gpus.append(gpu)
            lease.descriptors += locks.descriptors
        if len(lease.gpus) == n_whole:
            return lease
    # A job that kept some GPUs while it waits for others could wait for ever.
    lease.close()
    return None


def _lock(folder: Path, gpu: str, slot: int) -> int | None:
    """Descriptor of the locked file of a slot; None where another process has it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", gpu)
    descriptor = os.open(folder / f"{name}.{slot}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


_held: GpuLease | None = None  # by this process, a job
_LEFT_BYTES = 1 << 28  # of a GPU, that libraries keep


def give_back_gpus() -> None:
    """Let the next job have this job's GPUs, while this one writes its files.

    To be called when no tensor of the job is on the GPUs any more: half a gigabyte that CUDA takes for
    itself stays until the process ends. Nothing happens where there are tensors, where a GPU is for one
    process alone (its compute mode), and outside of jobs.
    """
    torch = sys.modules.get("torch")
    if _held is None or torch is None or _for_one_process(_held.gpus):
        return
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        if any(torch.cuda.memory_reserved(n) > _LEFT_BYTES for n in range(torch.cuda.device_count())):
            return
    for descriptor in _held.descriptors:
        _leave(descriptor, "")
    _held.close()


def _for_one_process(gpus: Sequence[str]) -> bool:
    """Whether the compute mode of a GPU lets no second process onto it, as some clusters set it."""
    command = ["nvidia-smi", "-i", ",".join(gpus), "--query-gpu=compute_mode", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return False
    return "Exclusive" in said.stdout


def assign_gpus(n_slots: int, jobs_per_gpu: int = 1) -> GpuLease | None:
    """Let this process see the GPUs that it gets, and no others; before anything asks CUDA for its devices.

    Parameters
    ----------
    n_slots, jobs_per_gpu : as for ``take_gpus``; with no slots all GPUs of this machine are hidden.

    Returns
    -------
    The lease, to be kept while the job runs; None without slots.
    """
    global _held
    if n_slots:
        _held = lease = take_gpus(n_slots, jobs_per_gpu)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(lease.gpus)
        logger.info("runs on GPU %s", ", ".join(lease.gpus))
        return lease
    if visible_gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return None
