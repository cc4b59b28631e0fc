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
from functools import cache
from pathlib import Path

PACKAGE = "babelscope"
INFRASTRUCTURE = frozenset({"store", "job", "progress", "errors", "code_digest"})


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
    module = _parse(script, script.stat().st_mtime_ns)
    reached: dict[tuple[str, str], str] = {}
    names = set().union(*(_names(node) for node in module.body))
    pending = [_target(module, name) for name in names]
    while pending:
        target = pending.pop()
        if target is None or target in reached:
            continue
        name, symbol = target
        path = _module_path(package, name)
        if name.split(".")[0] in INFRASTRUCTURE or path is None:
            continue
        tree = _parse(path, path.stat().st_mtime_ns)
        nodes = _definitions(tree).get(symbol)
        if symbol == "*":
            nodes = tree.body
        if nodes is None:
            # a name that the module only hands on, or a submodule
            hop = _target(tree, symbol, name, path.name == "__init__.py")
            submodule = (f"{name}.{symbol}", "*")
            pending.append(hop or (submodule if _module_path(package, submodule[0]) else None))
            continue
        reached[target] = "".join(ast.dump(node) for node in nodes)
        for node in nodes:
            for used in _names(node):
                local = (name, used) if used in _definitions(tree) else None
                pending.append(local or _target(tree, used, name, path.name == "__init__.py"))
    text = ast.dump(module) + "".join(f"{key}{reached[key]}" for key in sorted(reached))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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


@cache
def _parse(path: Path, _mtime: int) -> ast.Module:
    return _StripDocstrings().visit(ast.parse(path.read_text(encoding="utf-8")))


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


def _names(node: ast.AST) -> set[str]:
    """Names read in a node, with string annotations left alone."""
    return {leaf.id for leaf in ast.walk(node) if isinstance(leaf, ast.Name)}


def _target(
    tree: ast.Module, name: str, module: str = "", is_package: bool = False
) -> tuple[str, str] | None:
    """Where a name comes from that the module imports from the package, as (module, symbol)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = _source(node, module, is_package)
            if source is None:
                continue
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return (source, alias.name) if source else (alias.name, "*")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(PACKAGE + ".") and (alias.asname or PACKAGE) == name:
                    return (alias.name.removeprefix(PACKAGE + "."), "*")
    return None


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
