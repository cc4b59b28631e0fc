"""The table of languages: resources/languages.tsv."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from babelscope.study.errors import BabelscopeError
from babelscope.study.resources import resource_path


@dataclass(frozen=True)
class Language:
    """Code, English name, family, genus (as in WALS) and script (ISO 15924 code)."""

    code: str
    name: str
    family: str
    genus: str
    script: str


def read_languages(path: str | Path | None = None) -> dict[str, Language]:
    """Read the table, by code.

    Parameters
    ----------
    path : of the table; None: the one that comes with the library.

    Raises
    ------
    BabelscopeError
        For missing columns, empty cells or a code given twice; file and line are named.
    """
    path = resource_path("languages.tsv") if path is None else path
    columns = [field.name for field in fields(Language)]
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if reader.fieldnames != columns:
            raise BabelscopeError(f"{path}: columns {reader.fieldnames}, need {columns}")
        table: dict[str, Language] = {}
        for number, row in enumerate(reader, start=2):
            if None in row or not all(row.values()):
                raise BabelscopeError(f"{path}, line {number}: every column needs a value")
            language = Language(**row)
            if language.code in table:
                raise BabelscopeError(f"{path}, line {number}: {language.code} is given twice")
            table[language.code] = language
    return table


def select_languages(path: str | Path, codes: Iterable[str]) -> list[Language]:
    """Languages of the table by their codes, in that order."""
    known = read_languages(path)
    return [known[code] for code in codes]
