"""Which tests share a process where they run side by side."""

from typing import Any

import pytest

# Tests of one folder share what takes long to make: a cluster, a finished study.
_TOGETHER = ("slurm", "workflow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side (``pytest -n 2``), such a folder stays in one process and comes first."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder = nodeid.split("/")[1]
            return folder if folder in _TOGETHER else nodeid

    return ByFolder(config, log)
