"""The whole study through a real SLURM: same results, few submissions, GPUs where they are needed."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.slurm.conftest import run_on_cluster
from tests.support import assert_same_results, change_config

pytestmark = pytest.mark.slurm


def submissions(jobs) -> Counter[str]:
    """How many jobs of each rule, or group of rules, were submitted."""
    return Counter(job.comment.removeprefix("rule_").split("_wildcards_")[0].split("_")[0] for job in jobs)


def wildcards_in_log(study: Path, job_id: int) -> set[str]:
    """Wildcards of all jobs that SLURM's log of one submission tells of."""
    (log,) = (study / "logs" / "slurm").rglob(f"{job_id}.log")
    lines = re.findall(r"^ *wildcards: (.*)$", log.read_text(encoding="utf-8"), re.MULTILINE)
    return {pair for line in lines for pair in line.split(", ") if not pair.startswith("model=")}


@pytest.fixture(scope="module")
def through_slurm(run_through_slurm) -> Path:
    return run_through_slurm[0]


@pytest.fixture(scope="module")
def jobs(run_through_slurm):
    return run_through_slurm[1]


def test_the_cluster_finds_what_one_machine_finds(through_slurm, finished_study):
    assert_same_results(through_slurm, finished_study)


def test_small_jobs_come_in_few_submissions(jobs):
    # two languages: one recording each, one pruning each; layers, their costs, timing, tokens, evidence once;
    # control and other partitions one by one, since they can be of a GPU
    expected = {
        "clustering": 1,
        "make": 4,
        "tokens": 1,
        "record": 2,
        "pruning": 2,
        "measure": 2,
        "evidence": 1,
    }
    assert submissions(jobs) == expected
    assert all(job.state == "COMPLETED" and job.account == "study" for job in jobs)


def test_gpus_are_asked_for_by_jobs_that_run_the_model_alone(jobs):
    for job in jobs:
        runs_model = job.comment.removeprefix("rule_").startswith(("record", "pruning", "measure"))
        assert (job.n_gpus, job.partition) == ((1, "gpu") if runs_model else (0, "main")), job


def test_recording_sees_the_gpu_that_it_was_given(cluster, jobs):
    (first, *_) = [job for job in jobs if job.rule == "record_activations"]
    details = cluster.command("sacct", "-j", str(first.job_id), "-XnP", "--format=AllocTRES")
    assert "gres/gpu=1" in details


def test_logs_of_submitted_jobs_are_kept(through_slurm, jobs):
    for job in jobs:
        assert list((through_slurm / "logs" / "slurm").rglob(f"{job.job_id}.log")), job


def test_a_new_language_submits_its_own_jobs_and_the_comparisons(cluster, through_slurm, tmp_path):
    study = Path(shutil.copytree(through_slurm, tmp_path / "study", symlinks=True))
    change_config(study, {"languages": ["en", "hi", "ar"]})
    before = cluster.last_job_id()
    run_on_cluster(study)
    new = cluster.jobs(after=before)
    expected = {"tokens": 1, "record": 1, "pruning": 1, "measure": 1, "evidence": 1}
    assert submissions(new) == expected
    for job in new:
        kind = next(iter(submissions([job])))
        if kind in ("tokens", "record", "pruning"):
            assert wildcards_in_log(study, job.job_id) <= {"lang=ar", "target=ar"}, job
            assert wildcards_in_log(study, job.job_id)
    text = (study / "results/tiny/similarity_euclidean.csv").read_text(encoding="utf-8")
    assert text.startswith("language,en,hi,ar\n")
