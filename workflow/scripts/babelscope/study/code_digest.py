"""A digest of the code that an adaptor depends on.

Snakemake tracks a rule's script but not the library behind it. The digest covers every module of this package
that the script imports, directly or through other modules, as syntax trees without comments and docstrings.
Passed as a parameter, it re-runs exactly the rules whose results the edit could change.

Left out are the modules that carry results without making them: a change of a file's layout is guarded by its
``format_version``. This module needs the standard library alone: rule files import it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "babelscope"
_SHARED = "BABELSCOPE_DIGESTS"
INFRASTRUCTURE = {PACKAGE} | {
    f"{PACKAGE}.{name}"
    for name in (
        "files.hdf5",
        "files.kind",
        "files.whole",
        "study.code_digest",
        "study.collector",
        "study.errors",
        "study.job",
        "study.progress",
    )
}


def code_digest(script: Path) -> str:
    """Digest of a script and of all modules of the package beside it that it imports, at any distance.

    Parameters
    ----------
    script : an adaptor; the package lies in the same folder.

    Returns
    -------
    16 hexadecimal digits, the same after any edit of comments, docstrings, layout or modules not imported.
    """
    text, pending = _read(script, script.stat().st_mtime_ns, script.stem, False)
    reached: dict[str, str] = {}
    queue, seen = list(pending), set(INFRASTRUCTURE)
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _module_path(script.parent, name)
        if path is None:
            continue
        reached[name], imported = _read(path, path.stat().st_mtime_ns, name, path.name == "__init__.py")
        queue += imported
    text += "".join(f"{name}{reached[name]}" for name in sorted(reached))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shared_digest(script: Path, *, of_a_job: bool) -> str:
    """The digest of a script, found once per run: it is what the run records of its jobs.

    Parameters
    ----------
    script : as in ``code_digest``.
    of_a_job : True in the process of a job, which takes it from the process that started it where it can.
    """
    known = json.loads(os.environ.get(_SHARED, "{}"))
    if not of_a_job or str(script) not in known:
        known[str(script)] = code_digest(script)
        os.environ[_SHARED] = json.dumps(known)
    return known[str(script)]


# Every rule of a run asks for the same files.
@cache
def _read(path: Path, _mtime: int, module: str, is_package: bool) -> tuple[str, tuple[str, ...]]:
    """The code of one file as text, and the modules of the package that it may import."""
    tree = _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))
    return ast.dump(tree), tuple(dict.fromkeys(_imported(tree, module, is_package)))


def _imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Dotted names that a module imports, each with the packages that Python runs on the way to it.

    What stands under ``if TYPE_CHECKING`` never runs. A name behind ``from x import`` may be a module.
    """
    for node in _running(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*parts, base] if base else parts)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == PACKAGE:
                yield from (".".join(parts[: i + 1]) for i in range(len(parts)))


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements of a module but those under ``if TYPE_CHECKING``."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.expr):  # holds no statement
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending += node.orelse
            continue
        yield node
        pending += ast.iter_child_nodes(node)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, scopes) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _module_path(folder: Path, module: str) -> Path | None:
    base = folder.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None
