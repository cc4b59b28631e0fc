"""One finished tiny study for all workflow tests; each test that changes it works on a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support import make_study, run_snakemake


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory) -> Path:
    """A study of two languages, run to the end."""
    folder = make_study(tmp_path_factory.mktemp("study") / "finished", ("en", "hi"), more_texts=("ar",))
    run_snakemake(folder, check=True)
    return folder


@pytest.fixture
def study(finished_study, tmp_path) -> Path:
    """A copy of the finished study, with its times, that a test may change."""
    return Path(shutil.copytree(finished_study, tmp_path / "study", symlinks=True))
