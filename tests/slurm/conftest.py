"""One cluster for all tests, one study that it runs; without SLURM the tests are skipped and say why."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.slurm.cluster import ACCOUNT, Cluster, JobRecord, running_cluster, why_absent
from tests.slurm.configuration import GPU_MODEL
from tests.support import ROOT, make_study

SITE = {
    "account": ACCOUNT,
    "partition": "main",
    "gpu_partition": "gpu",
    "gpu_model": GPU_MODEL,
}
LANGUAGES = ("en", "hi")
SNAKEMAKE = (sys.executable, str(ROOT / "tests" / "slurm" / "impatient.py"))
SOON = ("--slurm-init-seconds-before-status-checks", "2", "--max-threads", "1")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running cluster with accounting."""
    if reason := why_absent():
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """The study that is shared by all tests, with a site file: nothing of it has been made."""
    folder = make_study(tmp_path_factory.mktemp("cluster-study") / "study", LANGUAGES, more_texts=("ar",))
    (folder / "profiles" / "slurm" / "site.yaml").write_text(yaml.safe_dump(SITE), encoding="utf-8")
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
def study(study) -> Path:
    """A copy of the finished study that a test may break: recordings of one language are not there."""
    (study / "profiles" / "slurm" / "site.yaml").write_text(yaml.safe_dump(SITE), encoding="utf-8")
    results = study / "results" / "tiny"
    for recorded in (results, *(results / "variants").iterdir()):
        (recorded / "activations" / "en.h5").unlink()
    (results / "similarity.h5").unlink()
    return study


def start_on_cluster(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Start snakemake with the cluster's profile; its output goes to ``run.log``."""
    command = [*SNAKEMAKE, "--workflow-profile", "profiles/slurm", *SOON, *args]
    log = open(folder / "run.log", "a", encoding="utf-8")  # noqa: SIM115, the child has it
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True)


def run_on_cluster(folder: Path, *args: str, timeout: float = 600) -> None:
    """Run the study on the cluster to its end, which must be a good one."""
    process = start_on_cluster(folder, *args)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert code == 0, (folder / "run.log").read_text(encoding="utf-8")[-4000:]
