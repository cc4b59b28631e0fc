"""Which tests share a process where they run side by side, and the finished study that all of them share."""

from __future__ import annotations

import compileall
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.support import ROOT, make_study, run_snakemake

# Folders in the order in which their tests start: what takes longest comes first.
_ORDER = ("slurm", "workflow", "browser", "model")


def pytest_configure(config: pytest.Config) -> None:
    """Compile the library once, so that no job of a copied workflow has to."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(ROOT / "workflow" / "scripts", quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    folder = nodeid.split("/")[1]
    return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side (``pytest -n 2``), those of one slow fixture stay together."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # by their order here, not by their number

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder = nodeid.split("/")[1]
            file = nodeid.split("::")[0]
            return {"slurm": folder, "workflow": file}.get(folder, nodeid)

    return ByFixture(config, log)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """``made_once(name, make)``: a folder that ``make`` fills in the first process of a run that asks."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def finished_study(made_once) -> Path:
    """A study of two languages, run to its end, for all processes; what writes takes a copy: ``study``."""

    def make(folder: Path) -> None:
        make_study(folder, ("en", "hi"), more_texts=("ar",))
        # one thread a job, as a cluster gives: sums come in the same order there
        run_snakemake(folder, "--max-threads", "1", check=True)

    return made_once("finished-study", make)


@pytest.fixture
def study(finished_study, tmp_path) -> Path:
    """A copy of the finished study, with its times, that a test may change."""
    return Path(shutil.copytree(finished_study, tmp_path / "study", symlinks=True))
