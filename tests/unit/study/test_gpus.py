"""GPUs: which are visible, and that no two jobs get one by accident. The GPUs are pretended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch  # noqa: F401, a job that gives GPUs back has it

from babelscope.study.errors import BabelscopeError
from babelscope.study.gpus import assign_gpus, give_back_gpus, lock_folder, take_gpus, visible_gpus

LISTED = """GPU 0: NVIDIA H100 (UUID: GPU-aa)
GPU 1: NVIDIA H100 (UUID: GPU-bb)
"""
MIG = """GPU 0: NVIDIA H100 (UUID: GPU-aa)
  MIG 1g.10gb Device 0: (UUID: MIG-cc)
  MIG 1g.10gb Device 1: (UUID: MIG-dd)
GPU 1: NVIDIA H100 (UUID: GPU-bb)
"""
# Tells its GPUs on standard output and holds them until its standard input ends.
HOLDER = """
import os, sys
from types import SimpleNamespace
from babelscope.study.job import run_job

def main(smk):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()

slots, shared = int(sys.argv[1]), int(sys.argv[2])
smk = SimpleNamespace(
    log=[], threads=1, resources=SimpleNamespace(gpu=slots), config={"gpus": {"jobs_per_gpu": shared}}
)
run_job(main, {"snakemake": smk})
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with two pretended GPUs, no scheduler, and locks of its own."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BABELSCOPE_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("BABELSCOPE_GPUS", "GPU-aa,GPU-bb")


@pytest.fixture
def start():
    """Start jobs; all that still run are ended with the test."""
    jobs = []

    def start(slots=1, shared=1, **env):
        command = [sys.executable, "-c", HOLDER, str(slots), str(shared)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        jobs.append(subprocess.Popen(command, text=True, env=os.environ | env, **pipes))
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.wait()
        for pipe in (job.stdin, job.stdout, job.stderr):
            pipe.close()


def gpus_of(job):
    return job.stdout.readline().strip()


def waits(job, gpus="GPU-aa, GPU-bb"):
    """The job says that it waits."""
    return f"waiting for a free GPU of {gpus}\n" in job.stderr.readline()


def pretend_driver(tmp_path, monkeypatch, listed):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
    (programs / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("BABELSCOPE_GPUS")


@pytest.mark.parametrize(
    ("listed", "allowed", "visible"),
    [
        (LISTED, None, ["GPU-aa", "GPU-bb"]),
        (LISTED, "1", ["GPU-bb"]),
        (LISTED, "GPU-aa", ["GPU-aa"]),
        (LISTED, "1,0", ["GPU-bb", "GPU-aa"]),
        (LISTED, "", []),
        (LISTED, "-1", []),
        ("No devices found\n", "0,1", ["0", "1"]),
        (MIG, None, ["MIG-cc", "MIG-dd", "GPU-bb"]),
    ],
)
def test_the_visible_gpus_are_those_of_the_driver_that_are_allowed(
    tmp_path, monkeypatch, listed, allowed, visible
):
    pretend_driver(tmp_path, monkeypatch, listed)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus() == visible


def test_a_job_that_only_writes_gives_its_gpu_to_the_next(start, monkeypatch):
    monkeypatch.setenv("BABELSCOPE_GPUS", "GPU-aa")
    lease = assign_gpus(1)
    job = start()
    assert waits(job, "GPU-aa")
    give_back_gpus()
    begin = time.monotonic()
    assert gpus_of(job) == "GPU-aa"
    assert time.monotonic() - begin < 5  # this process lives on, and has left no number
    lease.close()  # at the end of the job, once more


def test_a_gpu_is_free_when_the_process_has_ended_not_when_the_lock_is(start, monkeypatch):
    monkeypatch.setenv("BABELSCOPE_GPUS", "GPU-aa")
    job = start()
    assert gpus_of(job) == "GPU-aa"
    (lock,) = lock_folder().iterdir()
    assert lock.read_text() == str(job.pid)
    job.stdin.close()
    assert job.wait() == 0
    sleeper = subprocess.Popen(["sleep", "1.5"])  # in place of a job that takes long to end
    try:
        lock.write_text(str(sleeper.pid))
        begin = time.monotonic()
        take_gpus(1).close()
        assert time.monotonic() - begin > 1  # though nobody holds the lock
    finally:
        sleeper.wait()


def test_a_process_lives_as_long_as_its_last_thread(monkeypatch):
    monkeypatch.setenv("BABELSCOPE_GPUS", "GPU-aa")
    take_gpus(1).close()
    (lock,) = lock_folder().iterdir()
    program = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(1.5,)).start()\n"
    program += "print(flush=True); ctypes.CDLL(None).pthread_exit(None)"
    job = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        job.stdout.readline()
        lock.write_text(str(job.pid))
        begin = time.monotonic()
        take_gpus(1).close()
        assert time.monotonic() - begin > 1
    finally:
        job.stdout.close()
        job.wait()


def test_a_gpu_for_one_process_is_kept_until_the_end(start, tmp_path, monkeypatch):
    pretend_driver(tmp_path, monkeypatch, "Exclusive_Process\n")
    monkeypatch.setenv("BABELSCOPE_GPUS", "GPU-aa")
    lease = assign_gpus(1)
    give_back_gpus()
    assert waits(start(), "GPU-aa")
    lease.close()


@pytest.mark.parametrize("left", ["", "99999999999999999999", "not a number", "1" * 40])
def test_what_says_no_process_is_not_waited_for(monkeypatch, left):
    monkeypatch.setenv("BABELSCOPE_GPUS", "GPU-aa")
    take_gpus(1).close()
    (lock,) = lock_folder().iterdir()
    lock.write_text(left)
    begin = time.monotonic()
    take_gpus(1).close()
    assert time.monotonic() - begin < 5 and lock.read_text() == str(os.getpid())


def test_without_gpus_there_is_nothing_to_give_back():
    assert assign_gpus(0) is None
    give_back_gpus()


def test_looking_for_gpus_loads_no_torch():
    program = "import sys, babelscope.study.gpus as g; g.visible_gpus(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_two_jobs_get_a_gpu_each_and_the_third_waits_for_the_first_to_end(start):
    first, second = start(), start()
    assert {gpus_of(first), gpus_of(second)} == {"GPU-aa", "GPU-bb"}
    third = start()
    assert waits(third)
    first.stdin.close()
    assert gpus_of(third) in ("GPU-aa", "GPU-bb")
    assert second.poll() is None


def test_a_killed_job_gives_its_gpu_back(start):
    first, second = start(), start()
    held = {gpus_of(first): first, gpus_of(second): second}
    third = start()
    assert waits(third)
    held["GPU-bb"].send_signal(signal.SIGKILL)
    assert gpus_of(third) == "GPU-bb"


def test_jobs_killed_over_and_over_leave_no_gpu_taken(start):
    for _ in range(5):
        jobs = [start(), start()]
        assert {gpus_of(job) for job in jobs} == {"GPU-aa", "GPU-bb"}
        for job in jobs:
            job.send_signal(signal.SIGKILL)
            job.wait()


def test_two_jobs_per_gpu_share_by_two_and_spread_before_they_share(start):
    first_two = [gpus_of(start(shared=2)) for _ in range(2)]
    assert sorted(first_two) == ["GPU-aa", "GPU-bb"]
    next_two = [gpus_of(start(shared=2)) for _ in range(2)]
    assert sorted(next_two) == ["GPU-aa", "GPU-bb"]
    assert waits(start(shared=2))


def test_a_job_that_asks_for_a_whole_gpu_shares_it_with_none(start):
    share = start(shared=2)
    assert gpus_of(share) == "GPU-aa"
    assert gpus_of(start(slots=2, shared=2)) == "GPU-bb"
    whole = start(slots=2, shared=2)
    assert waits(whole)
    share.stdin.close()
    assert gpus_of(whole) == "GPU-aa"


def test_a_big_model_gets_several_gpus(start):
    assert gpus_of(start(slots=2)) == "GPU-aa,GPU-bb"
    assert waits(start())


def test_a_job_that_waits_for_two_gpus_keeps_none_from_others(start):
    first = start()
    assert gpus_of(first) == "GPU-aa"
    both = start(slots=2)
    assert waits(both)
    assert gpus_of(start()) == "GPU-bb"


def test_jobs_of_a_scheduler_believe_what_it_assigned(start):
    # both are told "0" and have another GPU each: the scheduler numbers the GPUs of every job from 0
    jobs = [
        start(BABELSCOPE_GPUS="0", CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID=number) for number in ("71", "72")
    ]
    assert [gpus_of(job) for job in jobs] == ["0", "0"]


def test_jobs_inside_one_allocation_share_out_its_gpus(start):
    jobs = [start(SLURM_JOB_ID="71") for _ in range(2)]
    assert {gpus_of(job) for job in jobs} == {"GPU-aa", "GPU-bb"}


def test_a_job_that_needs_no_gpu_sees_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "before")
    assert assign_gpus(0) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_more_gpus_than_there_are_is_an_error_at_once():
    with pytest.raises(BabelscopeError, match=r"3 GPUs needed, visible are 2: \['GPU-aa', 'GPU-bb'\]"):
        take_gpus(3)
    with pytest.raises(BabelscopeError, match=r"3 slots asked for; need 1 or a multiple of .*\(2\)"):
        take_gpus(3, jobs_per_gpu=2)


def test_a_folder_of_locks_that_belongs_to_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / "locks").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(BabelscopeError, match="belongs to another user"):
        take_gpus(1)


def test_a_lease_is_given_back_when_it_is_closed():
    lease = take_gpus(2)
    lease.close()
    assert take_gpus(2).gpus == ["GPU-aa", "GPU-bb"]
