"""The typed configuration, and what is generated from it: schema, defaults, tables of the README."""

from __future__ import annotations

import math
import shutil
from dataclasses import fields

import pytest
import yaml
from tests.support import ROOT, merged

from babelscope.recording.record import RecordingSettings
from babelscope.study.generated import out_of_step
from babelscope.study.settings import Recording, Study

EMBEDDED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
SCHEMA = yaml.safe_load((ROOT / "config" / "config.schema.yaml").read_text(encoding="utf-8"))


def objects(schema, path="top level"):
    """Every object of the schema, with its path."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, value in schema.items():
            yield from objects(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value, path)


def test_every_object_is_closed_and_every_key_is_described():
    for path, schema in objects(SCHEMA):
        assert "additionalProperties" in schema, path
        assert schema["additionalProperties"] is not True, path
        for key, value in schema.get("properties", {}).items():
            assert "description" in value, f"{path}.{key}"


def defaults(schema, path=()):
    """Every default of a section and of the sections in it, by path."""
    for key, entry in schema.get("properties", {}).items():
        if "properties" in entry:
            yield from defaults(entry, (*path, key))
        elif "default" in entry:
            yield (*path, key), entry["default"]


def test_the_embedded_configuration_spells_the_defaults_out():
    """Where the two differ a reader of config.yaml would be told something that is not so."""
    found = dict(defaults(SCHEMA))
    model = ("model_definitions", "gemma-3-270m")
    definition = SCHEMA["properties"]["model_definitions"]["additionalProperties"]
    found |= {(*model, *path): value for path, value in defaults(definition)}
    assert len(found) > 30
    for path, default in found.items():
        value = EMBEDDED
        for key in path:
            assert key in value, path
            value = value[key]
        assert value == default, path


def test_the_schema_and_the_readme_are_what_is_generated():
    assert [path.name for path, _ in out_of_step()] == [], "run `make docs`"


def test_a_readme_out_of_step_is_found(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config" / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("| `seed` | `0` |", "| `seed` | `1` |"), "utf-8")
    assert [found.name for found, _ in out_of_step(tmp_path)] == ["README.md"]


def test_the_typed_configuration_reads_the_embedded_one():
    study = Study.model_validate(EMBEDDED)
    assert study.experts.n_experts == 256
    assert study.model_definitions["gemma-3-270m"].tokens_per_batch == 1024
    for wrong in ({"experts": {"n_experts": 0}}, {"sharing": {"threshold": math.nan}}, {"seeds": 1}):
        with pytest.raises(ValueError, match="validation error"):
            Study.model_validate(merged(EMBEDDED, wrong))


def test_every_number_has_two_bounds():
    def numbers(schema):
        if isinstance(schema, dict):
            if schema.get("type") in ("integer", "number"):
                yield schema
            for value in schema.values():
                yield from numbers(value)

    found = list(numbers(SCHEMA))
    assert len(found) > 30
    for schema in found:
        assert {"minimum", "exclusiveMinimum"} & set(schema), schema
        assert {"maximum", "exclusiveMaximum"} & set(schema), schema


def test_settings_of_a_recording_have_one_default():
    for field in fields(RecordingSettings):
        if field.name in Recording.model_fields:
            assert field.default == Recording.model_fields[field.name].default, field.name
