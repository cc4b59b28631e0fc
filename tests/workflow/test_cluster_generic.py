"""Profiles of clusters: a submit command that runs the job itself, and what dry runs for SLURM ask for."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from tests.slurm.cluster import wait_until
from tests.support import ROOT, assert_same_results, change_config, make_study, run_snakemake

# Notes what it is asked for, runs the script at once, and says a job's number.
SUBMIT = """#!/bin/sh
echo "$1 $2" >> asked.txt
sh "$3" > job.log 2>&1 || cp job.log failed.log
wc -l < asked.txt
"""
# One target of every kind of job that is submitted.
SUBMITTED = [
    f"results/tiny/{name}"
    for name in ("similarity.h5", "pruning.csv", "pruning_speed.csv", "evidence/recording_claims.csv")
]
MODEL_RULES = {
    "record_activations",
    "record_sweep",
    "check_model",
    "compensate",
    "evaluate_ablations",
    "evaluate_pruning",
    "evaluate_selectors",
    "measure_layer_costs",
    "measure_pruning_speed",
    "evaluate_matrix",
    "trace_frontier",
    "generate_responses",
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """The study that all tests share, nothing of it made."""
    return make_study(tmp_path_factory.mktemp("executors") / "study", ("en", "hi"), more_texts=("ar",))


def cluster_profile(folder: Path, name: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Snakemake with a cluster's profile alone, no number of cores."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", f"profiles/{name}", *args]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def resources(dry_run: str) -> dict[str, str]:
    """Resources that the jobs of each rule of a dry run ask for."""
    blocks = re.split(r"\n *(?=(?:local)?rule \w+:)", dry_run)[1:]
    found = {}
    for block in blocks:
        line = re.search(r"^ +resources: (.*)$", block, re.MULTILINE)
        found[re.match(r"(?:local)?rule (\w+):", block)[1]] = line[1] if line else ""
    return found


def gpus(dry_run: str) -> dict[str, int]:
    """The resource `gpu` of each rule that declares one."""
    found = {rule: re.search(r"\bgpu=(\d+)", asked) for rule, asked in resources(dry_run).items()}
    return {rule: int(match[1]) for rule, match in found.items() if match}


def dry_run(study: Path, *args: str, **env: str) -> str:
    targets = ("all", "full", "results/tiny/check.json")
    return run_snakemake(study, "--dry-run", "--forceall", *args, *targets, env=env, check=True).stdout


def test_a_submit_command_finds_what_one_machine_finds(fresh, finished_study, tmp_path):
    there = Path(shutil.copytree(fresh, tmp_path / "there"))
    submit = there / "submit.sh"
    submit.write_text(SUBMIT, encoding="utf-8")
    submit.chmod(0o755)
    done = cluster_profile(
        there,
        "cluster-generic",
        *("--max-threads", "1", "--latency-wait", "5", *SUBMITTED),
        BABELSCOPE_SUBMIT="./submit.sh {threads} {resources.mem_mb}",
        BABELSCOPE_GPUS="",
    )
    failed = there / "failed.log"
    assert done.returncode == 0, done.stdout[-3000:] + (failed.read_text()[-3000:] if failed.exists() else "")
    # two languages: one recording each, one pruning each; four other partitions; layers, their costs, tokens,
    # evidence and timing once
    asked = (there / "asked.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(asked) == 13
    assert all(re.fullmatch(r"\d+ \d+", line) for line in asked), asked
    assert_same_results(there, finished_study, some=True)


def test_the_profile_of_another_executor_is_short():
    lines = (ROOT / "profiles/cluster-generic/profile.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30


def test_every_rule_that_runs_the_model_declares_its_gpus(fresh):
    two = gpus(dry_run(fresh, BABELSCOPE_GPUS="GPU-aa,GPU-bb"))
    assert two == {**dict.fromkeys(MODEL_RULES, 1), "cluster_layer": 0, "make_control_partition": 0}
    none = gpus(dry_run(fresh, BABELSCOPE_GPUS=""))
    assert none == dict.fromkeys(two, 0)


def test_a_model_that_computes_on_the_cpu_takes_no_gpu(fresh, tmp_path):
    folder = Path(shutil.copytree(fresh, tmp_path / "study"))
    change_config(folder, {"model_definitions": {"tiny": {"device": "cpu"}}})
    assert set(gpus(dry_run(folder, BABELSCOPE_GPUS="GPU-aa")).values()) == {0}


def test_a_timing_has_its_gpu_to_itself_where_others_share(fresh, tmp_path):
    folder = Path(shutil.copytree(fresh, tmp_path / "study"))
    change_config(folder, {"gpus": {"jobs_per_gpu": 3}})
    asked = gpus(dry_run(folder, BABELSCOPE_GPUS="GPU-aa"))
    assert (asked["record_activations"], asked["measure_pruning_speed"]) == (1, 3)


@pytest.mark.parametrize(("shared", "taken"), [(1, ()), (2, ("GPU-aa.0",))])
def test_no_more_jobs_of_the_model_run_at_once_than_gpus_allow(study, tmp_path, shared, taken):
    """One slot, or two of which another study has the first: jobs run one by one in the one that is free."""
    change_config(study, {"gpus": {"jobs_per_gpu": shared}})
    for recorded in ("", "variants/random", "variants/contiguous"):
        shutil.rmtree(study / "results/tiny" / recorded / "activations")
    (study / "results/tiny/similarity.h5").unlink()
    shutil.rmtree(study / "logs")
    locks = tmp_path / "locks"
    locks.mkdir()
    with ExitStack() as others:
        for slot in taken:
            fcntl.flock(others.enter_context((locks / slot).open("w")), fcntl.LOCK_EX)
        run_snakemake(
            study,
            *("--cores", "4", "results/tiny/similarity.h5"),
            env={"BABELSCOPE_GPUS": "GPU-aa", "BABELSCOPE_GPU_LOCKS": str(locks)},
            check=True,
        )
    assert sorted(path.name for path in locks.iterdir()) == [f"GPU-aa.{slot}" for slot in range(shared)]
    logs = [path.read_text().splitlines() for path in (study / "logs/tiny/record_activations").iterdir()]
    # when each got the GPU, and its last line; both begin with the time
    held = sorted(
        (next(line for line in log if "runs on GPU GPU-aa" in line)[:23], log[-1][:23]) for log in logs
    )
    assert len(held) == 2
    assert held[1][0] >= held[0][1], "two jobs met in one slot"


def test_one_job_more_than_the_gpu_has_room_for_is_started_and_waits(study, tmp_path):
    shutil.rmtree(study / "results/tiny/activations")
    (study / "results/tiny/similarity.h5").unlink()
    shutil.rmtree(study / "logs")
    locks = tmp_path / "locks"
    locks.mkdir()
    env = {"BABELSCOPE_GPUS": "GPU-aa", "BABELSCOPE_GPU_LOCKS": str(locks)}

    def waiting():
        logs = (study / "logs/tiny/record_activations").glob("*")
        return sum("waiting for a free GPU" in log.read_text() for log in logs) == 2

    with ThreadPoolExecutor(1) as pool:
        with (locks / "GPU-aa.0").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            run = pool.submit(run_snakemake, study, "results/tiny/similarity.h5", env=env, check=True)
            wait_until(lambda: waiting() or run.done(), 120, "two jobs that wait for the GPU")
        assert not run.done()
        run.result()


def test_slurm_sends_jobs_of_the_model_where_the_gpus_are(fresh, tmp_path):
    folder = Path(shutil.copytree(fresh, tmp_path / "study"))
    site = {"partition": "cpu", "gpu_partition": "gpu", "gpu_model": "a100"}
    (folder / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    plan = cluster_profile(folder, "slurm", "--dry-run", BABELSCOPE_GPUS="").stdout
    for rule, asked in resources(plan).items():
        at_gpu = rule in MODEL_RULES
        assert ("slurm_partition=gpu" in asked, "gpu_model=a100" in asked) == (at_gpu, at_gpu), (rule, asked)
        assert ("gpu=1" in asked) == at_gpu, (rule, asked)


def test_on_a_slurm_without_gpus_no_job_asks_for_one(fresh, tmp_path):
    folder = Path(shutil.copytree(fresh, tmp_path / "study"))
    site = {"partition": "cpu", "gpus": False}
    (folder / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    plan = cluster_profile(folder, "slurm", "--dry-run").stdout
    assert set(gpus(plan).values()) == {0}
    assert "gpu_model" not in plan
