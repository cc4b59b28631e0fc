"""One cluster for all tests, one study that it runs; without SLURM the tests are skipped and say why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.slurm.cluster import ACCOUNT, GPU_MODEL, Cluster, JobRecord, running_cluster, why_absent
from tests.support import make_study, run_snakemake

SITE = {
    "account": ACCOUNT,
    "partition": "main",
    "gpu_partition": "gpu",
    "gpu_model": GPU_MODEL,
}
LANGUAGES = ("en", "hi")
# The first look at a submitted job comes after this many seconds, when most are done; each look without news
# is followed by a wait that is 10 s longer.
SOON = ("--slurm-init-seconds-before-status-checks", "7", "--max-threads", "1")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running cluster with accounting."""
    if reason := why_absent():
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A study with its site file, of which what needs the hub is done: nothing has been submitted."""
    folder = make_study(
        tmp_path_factory.mktemp("cluster-study") / "study",
        LANGUAGES,
        more_texts=("ar",),
        config={"model_definitions": {"tiny": {"memory_mb": 3000}}},
    )
    (folder / "profiles" / "slurm" / "site.yaml").write_text(yaml.safe_dump(SITE), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def undisturbed(prepared, tmp_path_factory) -> Path:
    """The study run to its end on this machine, with as many threads a job as the cluster gives."""
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    shutil.copytree(prepared, folder)
    run_snakemake(folder, "--max-threads", "1", check=True)
    return folder


@pytest.fixture(scope="session")
def run_through_slurm(cluster, prepared, tmp_path_factory) -> tuple[Path, list[JobRecord]]:
    """The study run to its end on the cluster, and the jobs that were submitted for it."""
    folder = tmp_path_factory.mktemp("through-slurm") / "study"
    shutil.copytree(prepared, folder)
    before = cluster.last_job_id()
    run_on_cluster(folder)
    return folder, cluster.jobs(after=before)


@pytest.fixture
def study(undisturbed, tmp_path) -> Path:
    """A copy of it that a test may break: what recording needs is there, recordings are not."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "study", symlinks=True))
    results = folder / "results" / "tiny"
    for recorded in (results, *(results / "variants").iterdir()):
        shutil.rmtree(recorded / "activations")
    (results / "similarity.h5").unlink()
    return folder


def start_on_cluster(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Start snakemake with the cluster's profile; its output goes to ``run.log``."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *SOON, *args]
    log = open(folder / "run.log", "a", encoding="utf-8")  # noqa: SIM115, the child has it
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True, env=environment
    )


def run_on_cluster(folder: Path, *args: str, timeout: float = 600) -> None:
    """Run the study on the cluster to its end, which must be a good one."""
    process = start_on_cluster(folder, *args)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert code == 0, (folder / "run.log").read_text(encoding="utf-8")[-4000:]
