"""The configuration: closed schema, clear errors, before any job starts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from babelscope.study.errors import BabelscopeError

SOURCE_KINDS = ("package", "files", "hub")
MODEL_SOURCE_KINDS = ("hub", "path", "package")
_NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9"


def replace_sources(config: dict[str, Any], embedded: Mapping[str, Any]) -> None:
    """Let a corpus source of an overlay replace the embedded one whole, in place.

    Snakemake merges configurations key by key, which would mix local files with the packaged text. Keys of
    an embedded source go where the overlay gives a source of another kind (``package``, ``files``, ``hub``);
    embedded sources of single languages go with the embedded default; a source set to null goes.

    Parameters
    ----------
    config : the merged configuration.
    embedded : the content of config/config.yaml.
    """
    sources = (config.get("corpus") or {}).get("sources")
    originals = (embedded.get("corpus") or {}).get("sources") or {}
    if not isinstance(sources, dict):
        return
    replaced = set()
    for name, original in originals.items():
        entry = sources.get(name)
        if isinstance(entry, dict) and any(kind in entry and kind not in original for kind in SOURCE_KINDS):
            replaced.add(name)
            for key in [key for key, value in original.items() if entry.get(key) == value]:
                del entry[key]
    for name in [name for name, entry in sources.items() if entry is None]:
        del sources[name]
    if "default" in replaced:
        for name in [name for name, entry in sources.items() if entry == originals.get(name)]:
            del sources[name]


def check_config(config: Mapping[str, Any], schema_file: str | Path, known_languages: Iterable[str]) -> None:
    """Check a merged configuration against the schema and the table of languages.

    Raises
    ------
    BabelscopeError
        Naming the first wrong key, its value, and what is allowed.
    """
    schema = yaml.safe_load(Path(schema_file).read_text(encoding="utf-8"))
    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is not None:
        raise BabelscopeError(f"configuration: {_explain(error)}")
    _check_sources(config)
    known = set(known_languages)
    for code in config["languages"]:
        if code not in known:
            raise BabelscopeError(
                f"configuration: languages: {code!r} is not in resources/languages.tsv"
                f"{_suggest(code, known)}; "
                "add a line there for a language of your own"
            )
    for model in config["models"]:
        if model not in config["model_definitions"]:
            raise BabelscopeError(
                f"configuration: models: {model!r} has no entry in model_definitions"
                f"{_suggest(model, config['model_definitions'])}"
            )
    for name, members in _setting(config, schema, "pruning", "unions").items():
        outside = [code for code in members if code not in config["languages"]]
        if outside or name in config["languages"]:
            raise BabelscopeError(
                f"configuration: pruning.unions: {name!r}: "
                + (f"{outside} not in languages" if outside else "the name is that of a language")
            )
    per_block, per_segment, per_shard = (
        _setting(config, schema, "recording", f"documents_per_{part}")
        for part in ("block", "segment", "shard")
    )
    for small, large, names in (
        (per_block, per_segment, ("block", "segment")),
        (per_segment, per_shard, ("segment", "shard")),
    ):
        if large % small:
            raise BabelscopeError(
                f"configuration: recording.documents_per_{names[1]} ({large}) must be a multiple of "
                f"recording.documents_per_{names[0]} ({small})"
            )


def _setting(config: Mapping[str, Any], schema: Mapping[str, Any], section: str, key: str) -> Any:
    """A setting, or the schema's default where it is left out."""
    default = schema["properties"][section]["properties"][key].get("default")
    return config.get(section, {}).get(key, default)


def _check_sources(config: Mapping[str, Any]) -> None:
    """Each source is of one kind: two at once, as a merge can make them, do not say which is meant."""
    sources = {f"corpus.sources.{name}": (s, SOURCE_KINDS) for name, s in config["corpus"]["sources"].items()}
    for name, model in config["model_definitions"].items():
        sources[f"model_definitions.{name}.source"] = (model["source"], MODEL_SOURCE_KINDS)
    for where, (source, kinds) in sources.items():
        found = [kind for kind in kinds if kind in source]
        if len(found) != 1:
            raise BabelscopeError(
                f"configuration: {where}: need exactly one of {', '.join(kinds)}; found {found or 'none'}"
            )


def _explain(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "top level"
    value = repr(error.instance)
    value = value if len(value) <= 80 else value[:77] + "..."
    if error.validator == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in allowed]
        hints = "".join(_suggest(key, allowed) for key in unknown[:1])
        return f"{where}: unknown key {', '.join(map(repr, unknown))}{hints}; allowed: {', '.join(allowed)}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: {', '.join(missing)} missing"
    if error.validator == "oneOf":
        ways = "; ".join(" with ".join(way["required"]) for way in error.validator_value)
        return f"{where}: {value} is not allowed; need exactly one of: {ways}"
    if error.validator == "uniqueItems":
        twice = sorted({str(item) for item in error.instance if error.instance.count(item) > 1})
        return f"{where}: {', '.join(twice)} stands twice"
    description = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    names = str(error.validator_value).startswith(_NAME_PATTERN)
    allowed_text = {
        "pattern": "letters, digits, - and _ alone, starting with a letter or digit"
        if names
        else description.rstrip("."),
        "enum": f"one of {error.validator_value}",
        "type": f"type {error.validator_value}",
        "minimum": f"at least {error.validator_value}",
        "exclusiveMinimum": f"more than {error.validator_value}",
        "maximum": f"at most {error.validator_value}",
        "minItems": f"at least {error.validator_value} entries",
    }.get(str(error.validator), error.message)
    return f"{where}: {value} is not allowed; need {allowed_text}"


def _suggest(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
