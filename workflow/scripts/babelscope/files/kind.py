"""Kinds of files: path, rule that makes them, attributes that name them, and datasets.

A kind is declared once, as a constant beside the class that reads and writes it. ``files.page`` makes the
table of the documentation from the declarations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from babelscope.study.errors import BabelscopeError


@dataclass(frozen=True)
class DatasetSpec:
    """Type, axes and meaning of one dataset.

    Attributes
    ----------
    dtype : a NumPy type, or ``str``.
    dims : names of the axes; one name has one size in all of a file.
    description : for people.
    low, high : bounds of the values where they are known, checked when the file is written.
    compressed : False for large arrays that are read in parts.
    optional : True where a file may be without it.
    """

    dtype: str
    dims: tuple[str, ...]
    description: str
    low: float | None = None
    high: float | None = None
    compressed: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes
    ----------
    name : stands in the file as ``babelscope/<name>``.
    path : where it lies under ``results/{model}/``; its ending tells the container (HDF5, JSON, JSON lines).
    rule : the rule that makes it.
    says : what every file of the kind says about itself, and every reader asks for by name.
    datasets : of an HDF5 file, by name.
    fields : meaning of the entries of a JSON file, by name.
    version : raised when the layout changes.
    """

    name: str
    path: str
    rule: str
    says: tuple[str, ...]
    datasets: Mapping[str, DatasetSpec] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    version: int = 1

    @property
    def remake(self) -> str:
        """Advice about a wrong file."""
        return f"delete it and run again: rule {self.rule} remakes it"

    def check_says(self, attrs: Mapping[str, Any], where: object) -> None:
        """Refuse to write a file that does not say what it is."""
        missing = [repr(name) for name in self.says if name not in attrs]
        if missing:
            noun = "attribute" if len(missing) == 1 else "attributes"
            raise BabelscopeError(
                f"{where}: a file of kind {self.name} needs the {noun} {', '.join(missing)}"
            )

    def check_asked(self, found: Mapping[str, Any], asked: Mapping[str, Any], where: object) -> None:
        """Refuse a file that is not the one asked for; the message tells what it is and what was asked.

        A value of None asks for nothing.
        """
        wrong = [name for name, value in asked.items() if value is not None and found.get(name) != value]
        if wrong:
            made = ", ".join(f"{name} = {found.get(name)!r}" for name in wrong)
            wanted = ", ".join(f"{asked[name]!r}" for name in wrong)
            raise BabelscopeError(f"{where}: made with {made}, this run has {wanted}; {self.remake}")


def study_record(name: str, path: str, rule: str, **fields: str) -> Kind:
    """A JSON file about all languages of a study of one model; ``fields`` says what else it holds."""
    said = {"model": "name of the model", "languages": "codes of the languages"}
    return Kind(name, path, rule, tuple(said), fields={**said, **fields})


def language_record(name: str, path: str, rule: str, **fields: str) -> Kind:
    """A JSON file about one language of a study of one model; ``fields`` says what else it holds."""
    said = {"model": "name of the model", "language": "code of the language of the text"}
    return Kind(name, path, rule, tuple(said), fields={**said, **fields})


LANGUAGES = DatasetSpec("str", ("language",), "language codes")
