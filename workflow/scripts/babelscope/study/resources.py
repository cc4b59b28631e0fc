"""Data that the library brings along: languages, the paper's numbers, claims, templates of pages."""

from __future__ import annotations

from pathlib import Path

from babelscope.study.errors import BabelscopeError

_FOLDER = Path(__file__).resolve().parents[1] / "resources"


def resource_path(name: str) -> Path:
    """Path of a file of ``resources/``, in a checkout and in an installed package.

    Parameters
    ----------
    name : for instance ``languages.tsv``, ``paper.json``, ``claims.yaml`` or ``templates/claims.html``.

    Raises
    ------
    BabelscopeError
        Where there is no such file.
    """
    path = _FOLDER / name
    if not path.is_file():
        known = sorted(str(p.relative_to(_FOLDER)) for p in _FOLDER.rglob("*") if p.is_file())
        raise BabelscopeError(f"resource {name!r}: there are {', '.join(known) or 'none'} in {_FOLDER}")
    return path
