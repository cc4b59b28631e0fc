"""The table of languages: resources/languages.tsv."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from babelscope.study.errors import BabelscopeError
from babelscope.study.resources import resource_path


@dataclass(frozen=True)
class Language:
    """One row of the table.

    Attributes
    ----------
    code, name : of the language, in English.
    family, genus : as in WALS. script : ISO 15924 code.
    script_family : scripts of one descent and make, after the chapters of the Unicode Standard, for instance
        Brahmic; empty where the table has none: the script is a family of its own.
    area : part of the world where most of its speakers live; empty where the table has none.
    """

    code: str
    name: str
    family: str
    genus: str
    script: str
    script_family: str = ""
    area: str = ""


def read_languages(path: str | Path | None = None) -> dict[str, Language]:
    """Read the table, by code.

    Parameters
    ----------
    path : of the table; None: the one that comes with the library.

    Raises
    ------
    BabelscopeError
        For missing columns, empty cells or a code given twice; file and line are named. The columns
        ``script_family`` and ``area`` and their cells can be left out.
    """
    path = resource_path("languages.tsv") if path is None else path
    columns = [field.name for field in fields(Language)]
    required = [field.name for field in fields(Language) if field.default is MISSING]
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        found = list(reader.fieldnames or ())
        if found[: len(required)] != required or found != columns[: len(found)]:
            raise BabelscopeError(f"{path}: columns {found}, need {columns}")
        table: dict[str, Language] = {}
        for number, row in enumerate(reader, start=2):
            if None in row or not all(row[name] for name in required):
                raise BabelscopeError(f"{path}, line {number}: every column needs a value")
            language = Language(**{name: value or "" for name, value in row.items()})
            if language.code in table:
                raise BabelscopeError(f"{path}, line {number}: {language.code} is given twice")
            table[language.code] = language
    return table


def select_languages(path: str | Path, codes: Iterable[str]) -> list[Language]:
    """Languages of the table by their codes, in that order."""
    known = read_languages(path)
    return [known[code] for code in codes]
