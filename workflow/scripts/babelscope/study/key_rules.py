"""Rules between keys of the configuration, checked while rule files are read: one line per mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from babelscope.study.unit_names import rule_units

SOURCE_KINDS = ("package", "files", "hub")
MODEL_SOURCE_KINDS = ("hub", "path", "package")


def variant_name(top_fraction: float) -> str:
    """Name of the variant with a share of active experts: ``top_5`` for 0.05, ``top_2_5`` for 0.025."""
    return f"top_{100 * top_fraction:g}".replace(".", "_")


def all_sources(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every source of text, by where it stands."""
    corpus = config["corpus"]
    places = {"corpus.sources": corpus["sources"]}
    places |= {f"corpus.domains.{name}.sources": d["sources"] for name, d in corpus["domains"].items()}
    return {f"{place}.{name}": source for place, entry in places.items() for name, source in entry.items()}


def _rule_models(config: Mapping[str, Any]) -> Iterator[str]:
    """Every entry of `models` is a name in `model_definitions`."""
    for model in config["models"]:
        if model not in config["model_definitions"]:
            hint = suggest(model, config["model_definitions"])
            yield f"models: {model!r} has no entry in model_definitions{hint}"


def _rule_one_kind(config: Mapping[str, Any]) -> Iterator[str]:
    """A source of text or of a model is of exactly one kind."""
    sources = {where: (source, SOURCE_KINDS) for where, source in all_sources(config).items()}
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
    for where, source in all_sources(config).items():
        name = where.rpartition(".")[2]
        if name != "default" and name not in languages:
            hint = suggest(name, ["default", *languages])
            yield f"{where}: {name!r} is neither default nor in languages{hint}"
        pattern = source.get("files", "")
        same = name == "default" and pattern and "{lang}" not in pattern and "language_column" not in source
        if same:
            yield (
                f"{where}.files: {pattern!r} gives every language the same text; put {{lang}} where the "
                "language code stands (text/{lang}.txt), or name a language_column"
            )


def _rule_parallel(config: Mapping[str, Any]) -> Iterator[str]:
    """A parallel source of the hub, or with a `language_column`, names its `id_column`."""
    for where, source in all_sources(config).items():
        if source.get("parallel") and "id_column" not in source and {"hub", "language_column"} & set(source):
            yield (
                f"{where}: parallel documents need an id that is the same in all languages, and numbers of "
                "rows are not: name their id_column"
            )
        if "id_column" in source and not source.get("parallel"):
            yield f"{where}: id_column without parallel: true"


def _rule_braces(config: Mapping[str, Any]) -> Iterator[str]:
    """Braces: `{lang}` alone in `files` and `config` of a source, `{locale}` in `messages`, `{model}` in
    `responses.annotations`.
    """
    patterns = {"responses.annotations": (config["responses"]["annotations"], "{model}")}
    for name, source in all_sources(config).items():
        for key, allowed in (("files", "{lang}"), ("config", "{lang}"), ("messages", "{locale}")):
            patterns[f"{name}.{key}"] = (source.get(key, ""), allowed)
    for where, (pattern, allowed) in patterns.items():
        if re.search("[{}]", pattern.replace(allowed, "")):
            yield f"{where}: {pattern!r} is not allowed; need no braces but those of {allowed}"


def _rule_nodes(config: Mapping[str, Any]) -> Iterator[str]:
    """Domains and derived corpora have names of their own and languages of `languages`.

    `shared_tokens` and `unshared_tokens` name another one of them in `other`.
    """
    languages, corpus = config["languages"], config["corpus"]
    for name in set(corpus["domains"]) & set(corpus["derive"]):
        yield f"corpus.derive: {name!r} is the name of a domain, too"
    for section in ("domains", "derive"):
        for name, entry in corpus[section].items():
            for code in [*entry.get("languages", []), *filter(None, [entry.get("other")])]:
                if code not in languages:
                    hint = suggest(code, languages)
                    yield f"corpus.{section}.{name}: {code!r} is not in languages{hint}"
            if section == "derive" and ("other" in entry) != entry["how"].endswith("shared_tokens"):
                given = "with" if "other" in entry else "without"
                yield (
                    f"corpus.derive.{name}: {entry['how']} {given} other: "
                    "shared_tokens and unshared_tokens alone name another language"
                )


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


def _rule_reference(config: Mapping[str, Any]) -> Iterator[str]:
    """`pruning.reference_languages` are languages of `languages`.

    `pruning.reference_documents` are at least one of each.
    """
    pruning = config["pruning"]
    named, n_documents = pruning["reference_languages"], pruning["reference_documents"]
    for code in named:
        if code not in config["languages"]:
            hint = suggest(code, config["languages"])
            yield f"pruning.reference_languages: {code!r} is not in languages{hint}"
    if len(named) > n_documents:
        yield (
            f"pruning.reference_documents ({n_documents}) must be at least the number of "
            f"pruning.reference_languages ({len(named)})"
        )


def _rule_distil(config: Mapping[str, Any]) -> Iterator[str]:
    """`pruning.distil_epochs` leaves documents to validate on.

    One of six of `corpus.profile_documents`, beyond `pruning.compensation_documents`; `experts.method` is not
    `router`.
    """
    pruning, n_profile = config["pruning"], config["corpus"]["profile_documents"]
    n_epochs, n_fitted = pruning["distil_epochs"], pruning["compensation_documents"]
    if n_epochs and config["experts"]["method"] == "router":
        yield f"pruning.distil_epochs ({n_epochs}): not with experts.method: router"
    most = n_profile - max(1, n_profile // 6)
    if n_epochs and n_fitted > most:
        yield (
            f"pruning.distil_epochs ({n_epochs}) validates on one of six of corpus.profile_documents "
            f"({n_profile}), which columns are not fitted to: pruning.compensation_documents ({n_fitted}) "
            f"must be at most {most}"
        )


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


def _rule_token_types(config: Mapping[str, Any]) -> Iterator[str]:
    """`recording.token_types` are counted of groups of neurons, by one job per language.

    `recording.documents_per_shard` is 0 then, and `experts.method` not `router`.
    """
    recording = config["recording"]
    if recording["token_types"] and config["experts"]["method"] == "router":
        yield f"recording.token_types ({recording['token_types']}): not with experts.method: router"
    if recording["token_types"] and recording["documents_per_shard"]:
        yield (
            f"recording.token_types ({recording['token_types']}) needs recording.documents_per_shard: 0; "
            f"found {recording['documents_per_shard']}"
        )


def _rule_fractions(config: Mapping[str, Any]) -> Iterator[str]:
    """Shares of active experts differ in six digits, which name files; the smallest leaves one active.

    Routers say themselves how many experts are active.
    """
    if config["experts"]["method"] == "router":
        return
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
    _rule_parallel,
    _rule_braces,
    _rule_nodes,
    _rule_characters,
    _rule_unions,
    _rule_reference,
    _rule_distil,
    _rule_documents,
    _rule_token_types,
    _rule_fractions,
    rule_units,
)


def suggest(word: str, allowed: Iterable[str]) -> str:
    """The nearest of the allowed words, as a question in brackets; empty where none is near."""
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
