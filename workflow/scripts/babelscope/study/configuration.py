"""The configuration while rule files are read: closed schema, rules between keys, one clear line per mistake.

Needs the standard library, PyYAML and jsonschema alone, which Snakemake brings: rule files import it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from babelscope.study.errors import BabelscopeError

SOURCE_KINDS = ("package", "files", "hub")
MODEL_SOURCE_KINDS = ("hub", "path", "package")
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
    """Changes of a project put into the content of config/config.yaml, as Snakemake merges files."""
    merged = deepcopy(dict(embedded))
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = merge_config(merged[key], value) if both else deepcopy(value)
    return merged


def replace_sources(config: dict[str, Any], embedded: Mapping[str, Any]) -> None:
    """Let a corpus source of an overlay replace the embedded one whole, in place.

    Snakemake merges configurations key by key, which would mix local files with the packaged text. Keys of
    an embedded source go where the overlay gives a source of another kind (``package``, ``files``, ``hub``);
    embedded sources of single languages go with the embedded default, and where the language is not studied;
    a source set to null goes.

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
        if isinstance(entry, dict) and any(kind in entry and kind not in original for kind in SOURCE_KINDS):
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
                f"{_suggest(code, known)}; "
                "add a line there for a language of your own"
            )
    settings = _with_defaults(config, schema)
    for rule in RULES:
        for message in rule(settings):
            raise BabelscopeError(f"configuration: {message}")


def variant_name(top_fraction: float) -> str:
    """Name of the variant with a share of active experts: ``top_5`` for 0.05, ``top_2_5`` for 0.025."""
    return f"top_{100 * top_fraction:g}".replace(".", "_")


def _rule_models(config: Mapping[str, Any]) -> Iterator[str]:
    """Every entry of `models` is a name in `model_definitions`."""
    for model in config["models"]:
        if model not in config["model_definitions"]:
            hint = _suggest(model, config["model_definitions"])
            yield f"models: {model!r} has no entry in model_definitions{hint}"


def _rule_one_kind(config: Mapping[str, Any]) -> Iterator[str]:
    """A source of text or of a model is of exactly one kind."""
    sources = {f"corpus.sources.{name}": (s, SOURCE_KINDS) for name, s in config["corpus"]["sources"].items()}
    for name, model in config["model_definitions"].items():
        sources[f"model_definitions.{name}.source"] = (model["source"], MODEL_SOURCE_KINDS)
    for where, (source, kinds) in sources.items():
        found = [kind for kind in kinds if kind in source]
        if len(found) != 1:
            yield f"{where}: need exactly one of {', '.join(kinds)}; found {found or 'none'}"


def _rule_sources(config: Mapping[str, Any]) -> Iterator[str]:
    """An entry of `corpus.sources` is `default` or a language of `languages`.

    A `default` with `files` has `{lang}` in its pattern or a `language_column`: without, all languages would
    get the same text.
    """
    languages = config["languages"]
    for name, source in config["corpus"]["sources"].items():
        where = f"corpus.sources.{name}"
        if name != "default" and name not in languages:
            hint = _suggest(name, ["default", *languages])
            yield f"{where}: {name!r} is neither default nor in languages{hint}"
        pattern = source.get("files", "")
        same = name == "default" and pattern and "{lang}" not in pattern and "language_column" not in source
        if same:
            yield (
                f"{where}.files: {pattern!r} gives every language the same text; put {{lang}} where the "
                "language code stands (text/{lang}.txt), or name a language_column"
            )


def _rule_braces(config: Mapping[str, Any]) -> Iterator[str]:
    """`files` and `config` of a source hold no braces but `{lang}`, `responses.annotations` but `{model}`."""
    patterns = {"responses.annotations": (config["responses"]["annotations"], "{model}")}
    for name, source in config["corpus"]["sources"].items():
        for key in ("files", "config"):
            patterns[f"corpus.sources.{name}.{key}"] = (source.get(key, ""), "{lang}")
    for where, (pattern, allowed) in patterns.items():
        if re.search("[{}]", pattern.replace(allowed, "")):
            yield f"{where}: {pattern!r} is not allowed; need no braces but those of {allowed}"


def _rule_characters(config: Mapping[str, Any]) -> Iterator[str]:
    """`corpus.min_characters` is at most `corpus.max_characters`."""
    low, high = config["corpus"]["min_characters"], config["corpus"]["max_characters"]
    if low > high:
        yield f"corpus.min_characters ({low}) must be at most corpus.max_characters ({high})"


def _rule_unions(config: Mapping[str, Any]) -> Iterator[str]:
    """`pruning.unions` joins languages of `languages`, under names that no language has."""
    for name, members in config["pruning"]["unions"].items():
        outside = [code for code in members if code not in config["languages"]]
        if outside or name in config["languages"]:
            reason = f"{outside} not in languages" if outside else "the name is that of a language"
            yield f"pruning.unions: {name!r}: {reason}"


def _rule_documents(config: Mapping[str, Any]) -> Iterator[str]:
    """Documents of a block divide those of a segment, and those of a segment divide those of a shard."""
    parts = ("block", "segment", "shard")
    sizes = {part: config["recording"][f"documents_per_{part}"] for part in parts}
    for small, large in pairwise(parts):
        if sizes[large] % sizes[small]:
            yield (
                f"recording.documents_per_{large} ({sizes[large]}) must be a multiple of "
                f"recording.documents_per_{small} ({sizes[small]})"
            )


def _rule_fractions(config: Mapping[str, Any]) -> Iterator[str]:
    """Shares of active experts differ in six digits, which name files; the smallest leaves one active."""
    recording, sweep = config["recording"], config["evidence"]["sweep"]
    named: dict[str, float] = {}
    key = "evidence.sweep.top_fractions"
    for fraction in sweep["top_fractions"]:
        name = variant_name(fraction)
        if named.setdefault(name, fraction) != fraction:
            yield f"{key}: {named[name]!r} and {fraction!r} would both be the variant {name}"
        if not re.fullmatch("[a-z_0-9]+", name):
            yield f"{key}: {fraction!r} is not allowed; need at least 0.000001"
    smallest = min([recording["top_fraction"], *named.values()])
    n_experts = min([config["experts"]["n_experts"], *sweep["n_experts"]])
    for model in config["models"]:
        n_layers = config["model_definitions"][model]["n_layers"]
        if round(smallest * n_layers * n_experts) < 1:
            yield (
                f"top_fraction {smallest!r} of {n_layers} layers of {n_experts} experts of {model!r} "
                "leaves no expert active; need a larger share or more experts"
            )


# In the order in which they are checked; the first lines say in config/README.md what each asks for.
RULES: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
    _rule_models,
    _rule_one_kind,
    _rule_sources,
    _rule_braces,
    _rule_characters,
    _rule_unions,
    _rule_documents,
    _rule_fractions,
)


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


def _suggest(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
