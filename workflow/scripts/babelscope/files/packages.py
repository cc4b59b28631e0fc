"""Files that installed Python packages brought."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from babelscope.study.errors import BabelscopeError


def packaged_file(package: str, file: str) -> Path:
    """Path of a file that an installed package brought; ``file`` is the end of its path.

    Raises
    ------
    BabelscopeError
        Where the package is missing or brought no such file.
    """
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise BabelscopeError(f"package {package} is not installed; run `make setup`") from None
    matches = [entry for entry in files if f"/{entry.as_posix()}".endswith("/" + file)]
    if len(matches) != 1:
        raise BabelscopeError(f"package {package} has {len(matches)} files that end in {file!r}, need one")
    path = Path(str(matches[0].locate())).resolve()
    if not path.exists():
        raise BabelscopeError(f"package {package} lists {file}, but {path} is missing: reinstall it")
    return path
