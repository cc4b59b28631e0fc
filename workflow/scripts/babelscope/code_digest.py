"""A digest of the code that an adaptor truly depends on.

Snakemake tracks a rule's script but not the library behind it. The digest covers the definitions that can
be reached by name from the script, across modules of this package, as syntax trees without comments and
docstrings. Passed as a parameter, it re-runs exactly the rules whose results the edit could change.

Left out are the modules that carry results without making them: a change of a file's layout is guarded by
its ``format_version``.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "babelscope"
INFRASTRUCTURE = frozenset({"store", "kinds", "job", "progress", "errors", "code_digest"})


def code_digest(script: Path) -> str:
    """Digest of a script and of everything in the package beside it that it can reach by name.

    Parameters
    ----------
    script : an adaptor; the package lies in the same folder.

    Returns
    -------
    16 hexadecimal digits, the same after any edit of comments, docstrings, layout or unreached code.
    """
    package = script.parent / PACKAGE
    read = _read(script, script.stat().st_mtime_ns, "", False)
    _, names = read.pieces["*"]
    reached: dict[tuple[str, str], str] = {}
    pending = [read.imports.get(name) for name in names]
    while pending:
        target = pending.pop()
        if target is None or target in reached:
            continue
        name, symbol = target
        path = _module_path(package, name)
        if name.split(".")[0] in INFRASTRUCTURE or path is None:
            continue
        module = _read(path, path.stat().st_mtime_ns, name, path.name == "__init__.py")
        if symbol not in module.pieces:
            # a name that the module only hands on, or a submodule
            submodule = (f"{name}.{symbol}", "*")
            hop = module.imports.get(symbol)
            pending.append(hop or (submodule if _module_path(package, submodule[0]) else None))
            continue
        reached[target], names = module.pieces[symbol]
        pending += [(name, used) if used in module.pieces else module.imports.get(used) for used in names]
    text = ast.dump(read.tree) + "".join(f"{key}{reached[key]}" for key in sorted(reached))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Module:
    """One file, read once: what it defines, and where the names come from that it imports.

    Attributes
    ----------
    tree : without comments and docstrings.
    pieces : for each name defined at its top, and ``*`` for all of it, its code and the names it reads.
    imports : for each name imported from the package, module and symbol.
    """

    tree: ast.Module
    pieces: Mapping[str, tuple[str, frozenset[str]]]
    imports: Mapping[str, tuple[str, str]]


# Every rule of a run asks for the same files: without the cache a run starts nine seconds later.
@cache
def _read(path: Path, _mtime: int, name: str, is_package: bool) -> _Module:
    tree = _StripDocstrings().visit(ast.parse(path.read_text(encoding="utf-8")))
    pieces = {symbol: _piece(nodes) for symbol, nodes in _definitions(tree).items()}
    return _Module(tree, pieces | {"*": _piece(tree.body)}, _imports(tree, name, is_package))


def _piece(nodes: Iterable[ast.AST]) -> tuple[str, frozenset[str]]:
    """Code as text, and the names read in it, with string annotations left alone."""
    nodes = list(nodes)
    names = (leaf.id for node in nodes for leaf in ast.walk(node) if isinstance(leaf, ast.Name))
    return "".join(ast.dump(node) for node in nodes), frozenset(names)


class _StripDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        return node


def _definitions(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Module-level definitions and assignments by name."""
    found: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [leaf.id for t in targets for leaf in ast.walk(t) if isinstance(leaf, ast.Name)]
        for name in names:
            found.setdefault(name, []).append(node)
    return found


def _imports(tree: ast.Module, module: str, is_package: bool) -> dict[str, tuple[str, str]]:
    """Names that a module imports from the package anywhere, each with (module, symbol)."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = _source(node, module, is_package)
            for alias in node.names if source is not None else []:
                target = (source, alias.name) if source else (alias.name, "*")
                found.setdefault(alias.asname or alias.name, target)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(PACKAGE + "."):
                    found.setdefault(alias.asname or PACKAGE, (alias.name.removeprefix(PACKAGE + "."), "*"))
    return found


def _source(node: ast.ImportFrom, module: str, is_package: bool) -> str | None:
    """Dotted module inside the package that an import names; empty for the package itself."""
    if node.level == 0:
        if node.module == PACKAGE:
            return ""
        if node.module and node.module.startswith(PACKAGE + "."):
            return node.module.removeprefix(PACKAGE + ".")
        return None
    parts = module.split(".")
    base = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])


def _module_path(package: Path, module: str) -> Path | None:
    base = package.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None
