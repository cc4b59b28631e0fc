"""Makes the library importable: it lives beside the scripts that use it, it is not installed. Splits the tests."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Appended, not put first: the adaptors in this folder must never shadow a module of the standard library.
for folder in (ROOT / "workflow" / "scripts", ROOT):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

# Tests of one folder share what takes long to make: a cluster, a finished study.
_TOGETHER = ("slurm", "workflow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side (``pytest -n 2 --dist loadgroup``), such a folder stays in one process."""
    for item in items:
        folder = item.path.parent.name
        if folder in _TOGETHER:
            item.add_marker(pytest.mark.xdist_group(folder))
