"""The configuration is closed: a mistake is named with its key and what is allowed, before any job."""

from __future__ import annotations

import json

import pytest
import yaml
from tests.support import ROOT, merged

from babelscope.study.configuration import check_config, replace_sources
from babelscope.study.errors import BabelscopeError
from babelscope.study.languages import read_languages

SCHEMA_FILE = ROOT / "config" / "config.schema.yaml"
EMBEDDED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
SCHEMA = yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))
CODES = read_languages(ROOT / "resources" / "languages.tsv")


def check(changes=None, config=EMBEDDED):
    check_config(merged(config, changes or {}), SCHEMA_FILE, CODES)


def overlay(changes):
    """What Snakemake and the workflow make of the embedded configuration and a user's file."""
    config = merged(EMBEDDED, changes)
    replace_sources(config, EMBEDDED)
    return config


def test_the_embedded_configuration_is_right():
    check()


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "config").glob("*.yaml")))
def test_every_configuration_that_is_shipped_is_right(name):
    if name in ("config.schema.yaml", "families.yaml"):
        return
    changes = yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    check(config=overlay(changes))


def test_sections_with_defaults_can_be_left_out():
    check({"pruning": None, "recording": None, "experts": None, "figures": None, "sharing": None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"langauges": ["en"]},
            r"top level: unknown key 'langauges' \(did you mean 'languages'\?\); allowed: ",
        ),
        ({"experts": {"n_expert": 8}}, r"experts: unknown key 'n_expert' \(did you mean 'n_experts'\?\)"),
        (
            {"model_definitions": {"gemma-3-270m": {"layers": 18}}},
            r"model_definitions\.gemma-3-270m: unknown key 'layers'",
        ),
        ({"languages": ["en", "xx"]}, r"languages: 'xx' is not in resources/languages\.tsv"),
        ({"languages": ["en", "fr", "en"]}, "languages: en stands twice"),
        ({"languages": ["en", "a/b"]}, r"languages\.1: 'a/b' is not allowed; need letters, digits, - and _"),
        ({"languages": ["en", "../x"]}, r"languages\.1: '\.\./x' is not allowed"),
        ({"languages": ["en", "a.b"]}, r"languages\.1: 'a\.b' is not allowed"),
        ({"languages": ["en"]}, "languages: .* need at least 2 entries"),
        ({"languages": "en"}, "languages: 'en' is not allowed; need type array"),
        ({"models": []}, "models: .* need at least 1 entries"),
        ({"models": ["gemma-3-270n"]}, r"'gemma-3-270n' has no entry .*did you mean 'gemma-3-270m'"),
        ({"seed": -1}, "seed: -1 is not allowed; need at least 0"),
        ({"experts": {"n_experts": 0}}, r"experts\.n_experts: 0 is not allowed; need at least 1"),
        ({"experts": {"n_experts": 2.5}}, r"experts\.n_experts: 2\.5 is not allowed; need type integer"),
        ({"experts": {"method": "kmeans"}}, r"experts\.method: 'kmeans' is not allowed; need one of"),
        ({"corpus": {"profile_documents": -600}}, r"corpus\.profile_documents: -600 .* at least 1"),
        (
            {"recording": {"top_fraction": 1.2}},
            r"recording\.top_fraction: 1\.2 is not allowed; need at most 1",
        ),
        ({"recording": {"top_fraction": 0}}, r"recording\.top_fraction: 0 is not allowed; need more than 0"),
        ({"recording": {"controls": ["shuffled"]}}, r"recording\.controls\.0: 'shuffled' .* need one of"),
        ({"sharing": {"threshold": -0.05}}, r"sharing\.threshold: -0\.05 is not allowed; need more than 0"),
        ({"sharing": {"threshold": "5 %"}}, r"sharing\.threshold: '5 %' is not allowed; need type number"),
        ({"corpus": {"sources": {"default": None}}}, r"corpus\.sources: default missing"),
        ({"model_definitions": {"gemma-3-270m": {"n_layers": None}}}, "gemma-3-270m: n_layers missing"),
        (
            {"model_definitions": {"gemma-3-270m": {"device": "gpu"}}},
            r"device: 'gpu' is not allowed; need auto, cpu, cuda or cuda:N",
        ),
        (
            {"model_definitions": {"gemma-3-270m": {"source": {"sha256": "abc"}}}},
            "sha256: 'abc' is not allowed; need Digest of the GGUF file",
        ),
        ({"recording": {"documents_per_segment": 30}}, r"documents_per_segment \(30\) must be a multiple of"),
        ({"recording": {"documents_per_shard": 1500}}, r"documents_per_shard \(1500\) must be a multiple of"),
        ({"pruning": {"unions": {"x": ["en", "de"]}}}, r"pruning\.unions: 'x': \['de'\] not in languages"),
        ({"pruning": {"unions": {"fr": ["en"]}}}, r"pruning\.unions: 'fr': the name is that of a language"),
        ({"pruning": {"unions": {"a/b": ["en"]}}}, "'a/b' is not allowed"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_allowed(changes, message):
    with pytest.raises(BabelscopeError, match=f"^configuration: .*{message}"):
        check(changes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"hub": "a/b", "files": "x"}, r"need exactly one of package, files, hub; found \['files', 'hub'\]"),
        ({"hub": "a/b"}, "need exactly one of: package with file; files; hub with revision"),
        ({"package": "eld"}, "need exactly one of: package with file"),
        ({"text_column": "text"}, "need exactly one of: package with file"),
    ],
)
def test_a_source_of_documents_is_exactly_one_thing(source, message):
    config = merged(EMBEDDED, {"corpus": {"sources": {"default": None}}})
    with pytest.raises(BabelscopeError, match=rf"corpus\.sources\.default: .*{message}"):
        check({"corpus": {"sources": {"default": source}}}, config)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"hub": "a/b"}, "need exactly one of: hub with revision; path; package with version with sha256"),
        ({"path": "a", "hub": "b"}, r"need exactly one of hub, path, package; found \['hub', 'path'\]"),
        ({"package": "x"}, "need exactly one of: hub with revision"),
        ({}, "need exactly one of: hub with revision"),
    ],
)
def test_a_source_of_a_model_is_exactly_one_thing(source, message):
    config = merged(EMBEDDED, {"model_definitions": {"gemma-3-270m": {"source": None}}})
    with pytest.raises(BabelscopeError, match=rf"model_definitions\.gemma-3-270m\.source: .*{message}"):
        check({"model_definitions": {"gemma-3-270m": {"source": source}}}, config)


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
    found |= {(*model, *path): value for path, value in defaults(SCHEMA["$defs"]["model_definition"])}
    assert len(found) > 30
    for path, default in found.items():
        value = EMBEDDED
        for key in path:
            assert key in value, path
            value = value[key]
        assert value == default, path


def test_local_files_replace_the_packaged_text_whole():
    sources = overlay({"corpus": {"sources": {"default": {"files": "text/{lang}.txt"}}}})["corpus"]["sources"]
    assert sources == {"default": {"files": "text/{lang}.txt"}}


def test_a_language_of_its_own_source_leaves_the_others_alone():
    config = overlay({"corpus": {"sources": {"de": {"files": "de.txt"}, "es": {"files": "es.txt"}}}})
    sources = config["corpus"]["sources"]
    assert sources["default"] == EMBEDDED["corpus"]["sources"]["default"]
    assert sources["de"] == {"files": "de.txt"}
    assert sources["es"] == {"files": "es.txt"}
    check(config=config)


def test_another_file_of_the_same_package_is_a_change_and_no_replacement():
    config = overlay({"corpus": {"sources": {"default": {"file": "benchmarks/big-test.txt"}}}})
    assert config["corpus"]["sources"]["default"] == {
        **EMBEDDED["corpus"]["sources"]["default"],
        "file": "benchmarks/big-test.txt",
    }
    assert json.dumps(config["corpus"]["sources"]["es"]) == json.dumps(EMBEDDED["corpus"]["sources"]["es"])
