"""The explorer as one HTML text: template, style, modules of JavaScript and data put together.

Modules are put into one script in the order of their imports; a name at their top level may be there once.
A content security policy forbids the page everything but its own script and style (by their hashes): it can
neither load nor send anything. Data stand in it as JSON without ``<``, and are shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babelscope.study.errors import require

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_TOP = re.compile(r"^(?:export )?(?:async )?(?:function\*?|const|let|class) ([A-Za-z_$][\w$]*)", re.MULTILINE)


def bundle(modules: Mapping[str, str], entry: str = "main.js") -> str:
    """One script out of modules.

    Parameters
    ----------
    modules : source by file name. Imports stand at the line's start, name what they import, and end the line.

    Raises
    ------
    BabelscopeError
        For an import of a module that is not there, a circle, or a name that two modules declare.
    """
    parts: list[str] = []
    owners: dict[str, str] = {}
    state: dict[str, str] = {}

    def take(name: str, asked_by: str) -> None:
        require(name in modules, f"{asked_by} imports {name!r}: there is no such module of the page")
        if state.get(name) == "done":
            return
        require(name not in state, f"{name} imports itself by way of {asked_by}")
        state[name] = "open"
        source = modules[name]
        for imported in _IMPORT.findall(source):
            take(imported, name)
        for found in _TOP.findall(source):
            first = owners.setdefault(found, name)
            require(first == name, f"{name} declares {found!r}, and so does {first}")
        body = re.sub(
            r"^export (?=function|const|let|class|async)", "", _IMPORT.sub("", source), flags=re.MULTILINE
        )
        stray = re.findall(r"^(?:import|export)\b.*", body, re.MULTILINE)
        require(not stray, f"{name}: {stray[:1]} is no import or export that can be put into one script")
        parts.append(f"// {name}\n{body.strip()}\n")
        state[name] = "done"

    take(entry, "the page")
    return '"use strict";\n' + "\n".join(parts)


def read_modules(folder: str | Path) -> dict[str, str]:
    """Modules of a folder by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.js"))}


def render(
    template: str,
    style: str,
    modules: Mapping[str, str],
    data: Mapping[str, Any],
    contexts: Mapping[str, Any],
) -> str:
    """The page.

    Parameters
    ----------
    template : HTML with ``@@NAME@@`` where something is put in.
    style : of the page. modules : see ``bundle``.
    data : see ``data.gather``. contexts : see ``data.group_contexts``.
    """
    script = "\n" + bundle(modules)
    style = "\n" + style
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    values = {
        "POLICY": policy,
        "MODEL": html.escape(str(data["model"])),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": embed(data),
        "CONTEXTS": embed(contexts),
    }
    return re.sub(r"@@([A-Z]+)@@", lambda match: values[match[1]], template)


def embed(value: Any) -> str:
    """JSON that can stand in HTML: no ``<``, nothing but ASCII, which takes care of lone surrogates too."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
