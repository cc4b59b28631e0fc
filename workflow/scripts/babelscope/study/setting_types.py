"""Types of the configuration's values, rows of other stages' tables, and closed sections."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import core_schema

from babelscope.study.errors import require

Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
ProperFraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Code = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
ModelName = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
UnitName = Annotated[str, StringConstraints(pattern="^L[0-9]{1,4}[EN][0-9]{1,6}$")]
# Names of files stand in what Snakemake prints: no control characters.
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Device = Annotated[str, StringConstraints(pattern="^(auto|cpu|cuda(:[0-9]+)?)$")]
Unique = Field(json_schema_extra={"uniqueItems": True})
ColorMap = Literal[
    "viridis", "plasma", "inferno", "magma", "cividis", "gray",
    "viridis_r", "plasma_r", "inferno_r", "magma_r", "cividis_r", "gray_r",
]  # fmt: skip


def rows(table: str) -> dict[str, Any]:
    """The rows of a table of another stage, by name: ``module:name``, looked up when it is asked for."""
    module, name = table.split(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True)
class OneOf:
    """Annotation of a string that names a row of a table."""

    table: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        def check(value: str) -> str:
            require(value in rows(self.table), f"{value!r} is not one of {list(rows(self.table))}")
            return value

        return core_schema.no_info_after_validator_function(check, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"enum": list(rows(self.table))}


def optional(description: str) -> Any:
    """A key that may be left out and has no default."""
    return Field(None, description=description)


def whole_number(default: int, least: int, most: int, description: str) -> Any:
    """A key with a whole number between two bounds, both allowed."""
    return Field(default, ge=least, le=most, description=description)


class Section(BaseModel):
    """A closed group of keys: one that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
