"""The configuration while rule files are read: closed schema, rules between keys, one clear line per mistake.

Needs the standard library, PyYAML and jsonschema alone, which Snakemake brings: rule files import it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from babelscope.study.errors import BabelscopeError
from babelscope.study.key_rules import RULES, SOURCE_KINDS, suggest

_NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9"
# An integer is one in Python too: 600.0 and 1e20 are refused. A number is finite.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        ),
    }
)
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times as fast where PyYAML has it


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of the workflow itself, for instance config/config.schema.yaml."""
    content: dict[str, Any] = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_LOADER)
    return content


def refuse_duplicate_keys(paths: Iterable[str | Path]) -> None:
    """Raise where a configuration file gives one key twice: of the two YAML keeps the last in silence.

    Raises
    ------
    BabelscopeError
        With file, line and key.
    """
    for path in paths:
        pending = [yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=_LOADER)]
        visited: set[int] = set()  # an alias is its anchor's node, which can hold itself
        while pending:
            node = pending.pop()
            if id(node) in visited:
                continue
            visited.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                pending += node.value
            elif isinstance(node, yaml.MappingNode):
                seen: set[str] = set()
                for key, value in node.value:
                    name, line = str(key.value), key.start_mark.line + 1
                    if name in seen:
                        raise BabelscopeError(
                            f"configuration: {path}, line {line}: the key {name!r} is given twice"
                        )
                    seen.add(name)
                    pending.append(value)


def merge_config(embedded: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a project put into the content of config/config.yaml, as Snakemake merges files.

    Of ``--config 'gpus={"jobs_per_gpu": 2}'`` Snakemake makes the text "2": where the embedded value is a
    number or a truth value, such a text is read as YAML reads it.
    """
    merged = deepcopy(dict(embedded))
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(value, Mapping) and isinstance(before, dict):
            merged[key] = merge_config(before, value)
        elif isinstance(value, str) and isinstance(before, (bool, int, float)):
            merged[key] = _as_number(value)
        else:
            merged[key] = deepcopy(value)
    return merged


def _as_number(text: str) -> Any:
    """The number or truth value that a text says; the text where it says something else."""
    try:
        value = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, int, float)) else text


def replace_sources(config: dict[str, Any], embedded: Mapping[str, Any]) -> None:
    """Let a corpus source of an overlay replace the embedded one whole, in place.

    Snakemake merges configurations key by key, which would mix local files with the packaged text. Keys of
    an embedded source go where the overlay gives a source of another kind (``package``, ``files``, ``hub``)
    or another package; embedded sources of single languages go with the embedded default, and where the
    language is not studied; a source set to null goes.

    Parameters
    ----------
    config : the merged configuration.
    embedded : the content of config/config.yaml.
    """
    corpus, languages = config.get("corpus"), config.get("languages")
    sources = corpus.get("sources") if isinstance(corpus, dict) else None
    originals = (embedded.get("corpus") or {}).get("sources") or {}
    if not isinstance(sources, dict):
        return
    replaced = set()
    for name, original in originals.items():
        entry = sources.get(name)
        if isinstance(entry, dict) and _is_another(entry, original):
            replaced.add(name)
            for key in [key for key, value in original.items() if entry.get(key) == value]:
                del entry[key]
    unused = set(originals) - {"default", *(languages if isinstance(languages, list) else originals)}
    for name in [name for name, entry in sources.items() if entry is None]:
        del sources[name]
    for name, original in originals.items():
        dropped = "default" in replaced and name != "default"
        if sources.get(name) == original and (dropped or name in unused):
            del sources[name]


def _is_another(entry: Mapping[str, Any], original: Mapping[str, Any]) -> bool:
    """Whether keys that were merged over an embedded source make it another one."""
    other_package = "package" in original and entry.get("package") != original["package"]
    return other_package or any(kind in entry and kind not in original for kind in SOURCE_KINDS)


def check_config(config: Mapping[str, Any], schema_file: str | Path, known_languages: Iterable[str]) -> None:
    """Check a merged configuration against the schema, the table of languages and the rules between keys.

    Raises
    ------
    BabelscopeError
        Naming the first wrong key, its value, and what is allowed.
    """
    _require_text_keys(config)
    schema = read_yaml(schema_file)
    error = best_match(_Validator(schema).iter_errors(config))
    if error is not None:
        raise BabelscopeError(f"configuration: {_explain(error)}")
    known = set(known_languages)
    for code in config["languages"]:
        if code not in known:
            raise BabelscopeError(
                f"configuration: languages: {code!r} is not in resources/languages.tsv"
                f"{suggest(code, known)}; "
                "add a line there for a language of your own"
            )
    settings = _with_defaults(config, schema)
    for rule in RULES:
        for message in rule(settings):
            raise BabelscopeError(f"configuration: {message}")


def _with_defaults(config: Any, schema: Mapping[str, Any]) -> Any:
    """A copy of the configuration with the schema's defaults where a key of a section is left out."""
    properties = schema.get("properties")
    if not properties or not isinstance(config, Mapping):
        return config
    filled = dict(config)
    for key, entry in properties.items():
        if key not in filled and "default" in entry:
            filled[key] = entry["default"]
        if key in filled:
            filled[key] = _with_defaults(filled[key], entry)
    return filled


def _require_text_keys(config: Any, where: str = "top level") -> None:
    if isinstance(config, Mapping):
        for key, value in config.items():
            if not isinstance(key, str):
                raise BabelscopeError(
                    f"configuration: {where}: the key {key!r} is not allowed; {_quote(key)}"
                )
            _require_text_keys(value, key if where == "top level" else f"{where}.{key}")


def _quote(value: Any) -> str:
    """Advice about a word that YAML has read as something else than text."""
    if isinstance(value, bool):
        words = "yes, on and true" if value else "no, off and false"
        return f"YAML reads {words} as {value}: quote it, '{'yes' if value else 'no'}'"
    return f"need text: quote it, '{value}'"


def _explain(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "top level"
    value = repr(error.instance)
    value = value if len(value) <= 80 else value[:77] + "..."
    if error.validator == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in allowed]
        hints = "".join(suggest(key, allowed) for key in unknown[:1])
        return f"{where}: unknown key {', '.join(map(repr, unknown))}{hints}; allowed: {', '.join(allowed)}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: {', '.join(missing)} missing"
    if error.validator == "oneOf":
        ways = "; ".join(" with ".join(way["required"]) for way in error.validator_value)
        return f"{where}: {value} is not allowed; need exactly one of: {ways}"
    if error.validator == "uniqueItems":
        twice = sorted({str(item) for item in error.instance if error.instance.count(item) > 1})
        return f"{where}: {', '.join(twice)} is given twice"
    if error.validator == "type" and error.validator_value == "string":
        return f"{where}: {value} is not allowed; {_quote(error.instance)}"
    if error.validator == "type" and error.validator_value == "object":
        return f"{where}: {value} is not allowed; need a section: keys with values"
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
        "exclusiveMaximum": f"less than {error.validator_value}",
        "minItems": f"at least {error.validator_value} entries",
        "maxItems": f"at most {error.validator_value} entries",
        "maxLength": f"at most {error.validator_value} characters",
    }.get(str(error.validator), error.message)
    if error.validator == "type" and isinstance(error.instance, float):
        allowed_text = (
            "a whole number without a point" if error.validator_value == "integer" else "a finite number"
        )
    return f"{where}: {value} is not allowed; need {allowed_text}"
