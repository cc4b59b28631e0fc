"""Damaged, foreign and unwritable files: a message that names file and remedy, never a wrong table."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support import assert_same_datasets, make_study, run_snakemake

COUNTS = "results/tiny/activations/en.h5"
TABLE = "results/tiny/similarity_euclidean.csv"
EXPERTS = "results/tiny/experts.h5"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_model(path: Path) -> None:
    from babelscope.files.hdf5 import read_h5, write_h5
    from babelscope.recording.counts import ACTIVATIONS

    datasets, attrs = read_h5(path, ACTIVATIONS)
    kept = {name: value for name, value in attrs.items() if not name.startswith(("format", "created"))}
    write_h5(path, ACTIVATIONS, datasets, **(kept | {"model": "another"}))


def another_version(path: Path) -> None:
    from dataclasses import replace

    from babelscope.files.hdf5 import read_h5, write_h5
    from babelscope.recording.counts import ACTIVATIONS

    datasets, attrs = read_h5(path, ACTIVATIONS)
    kept = {name: value for name, value in attrs.items() if not name.startswith(("format", "created"))}
    write_h5(path, replace(ACTIVATIONS, version=99), datasets, **kept)


def another_language(path: Path) -> None:
    path.write_bytes(path.with_name("hi.h5").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "damaged or no HDF5 file"),
        (flip_byte, "damaged or no HDF5 file"),
        (empty, "damaged or no HDF5 file"),
        (another_model, "made with model = 'another', this run has 'tiny'"),
        (another_version, "format_version is 99"),
        (another_language, "made with language = 'hi', this run has 'en'"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_bad_file_is_refused_with_what_remakes_it(finished_study, tmp_path, damage, message):
    from babelscope.recording.counts import read_activations
    from babelscope.study.errors import BabelscopeError

    for language in ("en", "hi"):
        shutil.copy(finished_study / f"results/tiny/activations/{language}.h5", tmp_path)
    path = tmp_path / "en.h5"
    damage(path)
    with pytest.raises(BabelscopeError) as refused:
        read_activations(path, model="tiny", language="en")
    told = str(refused.value)
    assert f"{path}: " in told and message in told
    assert "delete it and run again: rule record_activations remakes it" in told


def test_a_bad_file_is_remade_when_deleted(study, finished_study):
    table = (study / TABLE).read_text(encoding="utf-8")
    (study / COUNTS).unlink()
    (study / TABLE).unlink()
    run_snakemake(study, TABLE, check=True)
    assert_same_datasets(study / COUNTS, finished_study / COUNTS)
    assert (study / TABLE).read_text(encoding="utf-8") == table


def mount(*args: str) -> None:
    """Mount something, or skip the test where that is not allowed."""
    done = subprocess.run(["mount", *args], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A study whose results lie on a disk of 40 kB."""
    study = make_study(tmp_path / "study", ("en", "hi"), more_texts=("ar",))
    results = study / "results"
    results.mkdir()
    mount("-t", "tmpfs", "-o", "size=40k", "tmpfs", str(results))
    yield study
    subprocess.run(["umount", "-l", str(results)], check=True)


def test_a_full_disk_is_named_and_a_larger_one_continues(small_disk, finished_study):
    result = run_snakemake(small_disk, EXPERTS)
    assert result.returncode != 0
    assert "could not be written (No space left on device)" in " ".join(result.stdout.split())
    assert not list((small_disk / "results").rglob("*.part"))
    mount("-o", "remount,size=100m", str(small_disk / "results"))
    run_snakemake(small_disk, EXPERTS, check=True)
    assert_same_datasets(small_disk / EXPERTS, finished_study / EXPERTS)


@pytest.fixture
def read_only(study):
    """A finished study whose results cannot be written, with one table missing."""
    (study / TABLE).unlink()
    results = str(study / "results")
    mount("--bind", results, results)
    mount("-o", "remount,ro,bind", results)
    yield study
    subprocess.run(["umount", "-l", results], check=True)


def test_a_read_only_folder_is_named_and_nothing_is_lost(read_only, finished_study):
    result = run_snakemake(read_only, TABLE)
    assert result.returncode != 0
    told = " ".join(result.stdout.split())
    assert "Write-protected output files for rule compare_languages" in told
    assert "affected files: results/tiny/frequency.h5" in told
    for name in (COUNTS, EXPERTS):
        assert_same_datasets(read_only / name, finished_study / name)


def test_a_second_run_in_the_same_folder_is_refused(study, finished_study):
    (study / COUNTS).unlink()  # the first run has to record it again
    (study / TABLE).unlink()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", TABLE]
    first = subprocess.Popen(command, cwd=study, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_lock(study)
        second = run_snakemake(study, TABLE)
        assert second.returncode != 0
        assert "Directory cannot be locked" in second.stdout and "--unlock" in second.stdout
        assert first.wait(600) == 0
    finally:
        first.kill()
    assert_same_datasets(study / COUNTS, finished_study / COUNTS)


def wait_for_lock(study: Path) -> None:
    locks = study / ".snakemake" / "locks"
    deadline = time.monotonic() + 60
    while not (locks.is_dir() and any(locks.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
