"""Things break while jobs run on a real SLURM; afterwards the results are those of an undisturbed run."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import SITE, SNAKEMAKE, SOON, run_on_cluster, start_on_cluster
from tests.support import ROOT, assert_same_datasets, change_config

pytestmark = pytest.mark.slurm

RULE = "record_activations"
TARGETS = ("results/tiny/similarity.h5",)


@pytest.fixture(autouse=True)
def ready(cluster):
    """Every test meets a whole cluster with nothing on it."""
    cluster.restore()
    yield


def running_job(cluster) -> int:
    wait_until(lambda: cluster.running(RULE), 120, f"a running job of {RULE}")
    return cluster.running(RULE)


def working_process(study: Path) -> int:
    """Process id of the script of a recording job of this study."""

    def find() -> int | None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                if b".record_activations.py" in command and os.readlink(folder / "cwd") == str(study):
                    return int(folder.name)
            except OSError:
                continue
        return None

    found: list[int] = []
    wait_until(lambda: found.append(find()) or found[-1], 120, "the process of a recording job")
    return found[-1]


def finish(process: subprocess.Popen[str], timeout: float = 300) -> int:
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("snakemake does not end") from None


def assert_as_undisturbed(study: Path, finished_study: Path) -> None:
    """One plain run finishes what is missing, and all is as it is without the fault."""
    run_on_cluster(study, *TARGETS, timeout=300)
    for name in ("activations/en.h5", "activations/hi.h5", "similarity.h5"):
        assert_same_datasets(study / "results/tiny" / name, finished_study / "results/tiny" / name)
    assert not list((study / "results").rglob("*.part")), "a half-written file is left"


def states(cluster, after: int) -> list[str]:
    return [job.state for job in cluster.jobs(after=after) if job.rule == RULE]


def test_a_cancelled_job_is_submitted_again(cluster, study, finished_study):
    before = cluster.last_job_id()
    process = start_on_cluster(study, *TARGETS)
    cluster.command("scancel", str(running_job(cluster)))
    finish(process)
    assert_as_undisturbed(study, finished_study)
    assert "CANCELLED" in states(cluster, before)


def test_a_killed_process_is_started_again(cluster, study, finished_study):
    before = cluster.last_job_id()
    process = start_on_cluster(study, *TARGETS)
    os.kill(working_process(study), signal.SIGKILL)
    finish(process)
    assert_as_undisturbed(study, finished_study)
    assert "FAILED" in states(cluster, before)


def test_a_job_over_its_memory_gets_more(cluster, study, finished_study):
    # less than torch takes when it is imported; each attempt gets as much again
    change_config(study, {"model_definitions": {"tiny": {"memory_mb": 400}}})
    before = cluster.last_job_id()
    run_on_cluster(study, *TARGETS)
    asked = [(job.mem_mb, job.state) for job in cluster.jobs(after=before) if job.rule == RULE]
    assert ((400, "COMPLETED") not in asked and (400, "FAILED") in asked) or (400, "OUT_OF_MEMORY") in asked
    assert any(memory > 400 and state == "COMPLETED" for memory, state in asked)
    assert_as_undisturbed(study, finished_study)


def test_a_job_over_its_time_gets_more(cluster, study, finished_study):
    before = cluster.last_job_id()
    one_minute = ("--set-resources", f"{RULE}:runtime=1*attempt", f"{RULE}:mem_mb=3000")
    process = start_on_cluster(study, *TARGETS, *one_minute)
    os.kill(working_process(study), signal.SIGSTOP)  # hangs, as on a file system that does not answer
    finish(process)
    limits = {job.time_limit: job.state for job in cluster.jobs(after=before) if job.rule == RULE}
    assert "TIMEOUT" in states(cluster, before)
    assert limits[2] == "COMPLETED"
    assert_as_undisturbed(study, finished_study)


def test_a_killed_snakemake_is_resumed_by_one_command(cluster, study, finished_study):
    process = start_on_cluster(study, *TARGETS)
    orphan = running_job(cluster)
    os.kill(working_process(study), signal.SIGSTOP)  # the orphan must not be done before it is looked for
    process.kill()
    process.wait()
    assert orphan in cluster.active()
    programs = study / "bin"
    programs.mkdir()
    (programs / "snakemake").write_text(f'#!/bin/sh\nexec {shlex.join(SNAKEMAKE)} "$@"\n')
    (programs / "snakemake").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    resume = ["bash", "profiles/slurm/resume.sh", *TARGETS, *SOON]
    done = subprocess.run(resume, cwd=study, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert f"cancelling {orphan}" in " ".join(done.stdout.split()) or str(orphan) in done.stdout
    assert_as_undisturbed(study, finished_study)


def test_duplicates_of_a_killed_snakemake_are_harmless(cluster, study, finished_study):
    process = start_on_cluster(study, *TARGETS)
    running_job(cluster)
    process.kill()
    process.wait()
    unlock = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--unlock"]
    subprocess.run(unlock, cwd=study, check=True, capture_output=True, timeout=120)
    second = start_on_cluster(study, *TARGETS)  # beside the jobs of the first
    finish(second)
    wait_until(lambda: not cluster.active(), 120, "the end of all jobs")
    assert_as_undisturbed(study, finished_study)


def test_a_node_daemon_that_dies_and_comes_back(cluster, study, finished_study):
    process = start_on_cluster(study, *TARGETS)
    running_job(cluster)
    cluster.kill("slurmd")
    time.sleep(8)
    cluster.start("slurmd")
    finish(process)
    assert_as_undisturbed(study, finished_study)


def test_controller_and_accounting_gone_for_half_a_minute(cluster, study, finished_study):
    process = start_on_cluster(study, *TARGETS)
    running_job(cluster)
    # An orderly end, as in maintenance: after SIGKILL SLURM forgets its latest jobs and drains the node.
    cluster.kill("slurmctld", signal.SIGTERM)
    cluster.kill("slurmdbd", signal.SIGTERM)
    time.sleep(30)
    cluster.start("slurmdbd")
    cluster.start("slurmctld")
    assert finish(process) == 0, (study / "run.log").read_text(encoding="utf-8")[-4000:]
    assert_as_undisturbed(study, finished_study)


def test_without_accounting_squeue_tells_the_states(study, finished_study):
    site = yaml.safe_dump(SITE | {"accounting": False})
    (study / "profiles/slurm/site.yaml").write_text(site, encoding="utf-8")
    run_on_cluster(study, *TARGETS, "--verbose")
    assert "command=squeue" in (study / "run.log").read_text(encoding="utf-8")
    assert_as_undisturbed(study, finished_study)


def test_a_mistake_in_the_site_file_is_named(tmp_path, prepared):
    study = Path(shutil.copytree(prepared, tmp_path / "study"))
    (study / "profiles/slurm/site.yaml").write_text("acount: study\n", encoding="utf-8")
    process = start_on_cluster(study, "--dry-run")
    assert process.wait(60) != 0
    text = (study / "run.log").read_text(encoding="utf-8")
    assert "profiles/slurm/site.yaml: unknown acount; allowed are account, partition" in " ".join(
        text.split()
    )


def test_the_example_of_a_site_file_is_a_good_one(tmp_path, prepared):
    study = Path(shutil.copytree(prepared, tmp_path / "study"))
    shutil.copy(ROOT / "profiles/slurm/site.example.yaml", study / "profiles/slurm/site.yaml")
    process = start_on_cluster(study, "--dry-run")
    assert process.wait(60) == 0, (study / "run.log").read_text(encoding="utf-8")[-2000:]
