"""The configuration is closed: a mistake is named with its key and what is allowed, before any job."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from tests.support import ROOT, merged

from babelscope.study.configuration import check_config, merge_config, refuse_duplicate_keys, replace_sources
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
    check(
        {
            "pruning": None,
            "recording": None,
            "experts": None,
            "figures": None,
            "sharing": None,
            "evidence": None,
            "responses": None,
        }
    )


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
        ({"languages": ["en", "fr", "en"]}, "languages: en is given twice"),
        ({"languages": ["en", "a/b"]}, r"languages\.1: 'a/b' is not allowed; need letters, digits, - and _"),
        ({"languages": ["en", "../x"]}, r"languages\.1: '\.\./x' is not allowed"),
        ({"languages": ["en", "a.b"]}, r"languages\.1: 'a\.b' is not allowed"),
        ({"languages": ["en"]}, "languages: .* need at least 2 entries"),
        ({"languages": "en"}, "languages: 'en' is not allowed; need type array"),
        ({"models": []}, "models: .* need at least 1 entries"),
        ({"models": ["gemma-3-270n"]}, r"'gemma-3-270n' has no entry .*did you mean 'gemma-3-270m'"),
        ({"seed": -1}, "seed: -1 is not allowed; need at least 0"),
        ({"experts": {"n_experts": 0}}, r"experts\.n_experts: 0 is not allowed; need at least 1"),
        ({"experts": {"n_experts": 2.5}}, r"experts\.n_experts: 2\.5 is not allowed; need a whole number"),
        ({"experts": {"method": "kmeans"}}, r"experts\.method: 'kmeans' is not allowed; need one of"),
        ({"corpus": {"profile_documents": -600}}, r"corpus\.profile_documents: -600 .* at least 1"),
        (
            {"recording": {"top_fraction": 1.2}},
            r"recording\.top_fraction: 1\.2 is not allowed; need less than 1",
        ),
        ({"recording": {"top_fraction": 0}}, r"recording\.top_fraction: 0 is not allowed; need more than 0"),
        ({"recording": {"controls": ["shuffled"]}}, r"recording\.controls\.0: 'shuffled' .* need one of"),
        ({"sharing": {"threshold": -0.05}}, r"sharing\.threshold: -0\.05 is not allowed; need more than 0"),
        ({"sharing": {"threshold": "5 %"}}, r"sharing\.threshold: '5 %' is not allowed; need type number"),
        ({"corpus": {"sources": {"default": None}}}, r"corpus\.sources: default missing"),
        ({"model_definitions": {"gemma-3-270m": {"n_layers": None}}}, "gemma-3-270m: n_layers missing"),
        (
            {"model_definitions": {"gemma-3-270m": {"device": "gpu"}}},
            r"device: 'gpu' is not allowed; need auto .*, cpu, cuda or cuda:N",
        ),
        (
            {"model_definitions": {"gemma-3-270m": {"source": {"sha256": "abc"}}}},
            "sha256: 'abc' is not allowed; need Digest of the GGUF file",
        ),
        ({"recording": {"documents_per_segment": 30}}, r"documents_per_segment \(30\) must be a multiple of"),
        ({"recording": {"documents_per_shard": 1500}}, r"documents_per_shard \(1500\) must be a multiple of"),
        ({"pruning": {"unions": {"x": ["en", "de"]}}}, r"pruning\.unions: 'x': \['de'\] not in languages"),
        ({"pruning": {"unions": {"fr": ["en"]}}}, r"pruning\.unions: 'fr': the name is that of a language"),
        (
            {"pruning": {"reference_languages": ["en", "de"]}},
            r"pruning\.reference_languages: 'de' is not in languages",
        ),
        (
            {"pruning": {"distil_epochs": 1, "compensation_documents": 501}},
            r"corpus\.profile_documents \(600\).*pruning\.compensation_documents \(501\) must be at most 500",
        ),
        (
            {"pruning": {"distil_epochs": 1}, "experts": {"method": "router"}},
            r"pruning\.distil_epochs \(1\): not with experts\.method: router",
        ),
        (
            {"pruning": {"reference_languages": ["en", "fr", "es"], "reference_documents": 2}},
            r"reference_documents \(2\) must be at least the number of pruning\.reference_languages \(3\)",
        ),
        ({"pruning": {"unions": {"a/b": ["en"]}}}, "'a/b' is not allowed"),
        ({"pruning": {"unions": {"a.b": ["en"]}}}, r"unions: 'a\.b' is not allowed; need letters, digits"),
        ({"languages": ["no", "en", False]}, "languages.2: False is not allowed; .* quote it, 'no'"),
        ({"languages": ["en", 7]}, "languages.1: 7 is not allowed; need text: quote it, '7'"),
        ({"corpus": "x"}, "corpus: 'x' is not allowed; need a section"),
        ({"models": ["m" * 250]}, "models.0: 'mmm.*need at most 80 characters"),
        ({"seed": 2**40}, "seed: 1099511627776 is not allowed; need at most 4294967295"),
        ({"corpus": {"profile_documents": 1e20}}, r"profile_documents: 1e\+20 .* need at most 10000000"),
        ({"corpus": {"profile_documents": 600.0}}, r"profile_documents: 600\.0 .* need a whole number"),
        ({"corpus": {"profile_documents": 10**20}}, "profile_documents: 10+ .* need at most 10000000"),
        ({"corpus": {"min_characters": 5000}}, r"min_characters \(5000\) must be at most .* \(4000\)"),
        ({"experts": {"n_experts": 10**9}}, "n_experts: 10+ is not allowed; need at most 65536"),
        ({"figures": {"dpi": 30000}}, "dpi: 30000 is not allowed; need at most 1200"),
        ({"figures": {"colormap": "veridis"}}, "colormap: 'veridis' is not allowed; need one of"),
        ({"recording": {"top_fraction": 1}}, "top_fraction: 1 is not allowed; need less than 1"),
        ({"recording": {"top_fraction": 1e-6}}, "top_fraction 1e-06 of 18 layers of 64 .*no expert active"),
        (
            {"evidence": {"sweep": {"top_fractions": [0.3, 0.3000000001]}}},
            r"evidence\.sweep\.top_fractions: 0\.3 and 0\.3000000001 would both be the variant top_30",
        ),
        ({"evidence": {"sweep": {"top_fractions": [1e-9]}}}, "1e-09 is not allowed; need at least 0.000001"),
        ({"sharing": {"threshold": float("nan")}}, "threshold: nan is not allowed; need a finite number"),
        ({"pruning": {"share": float("inf")}}, "share: inf is not allowed; need a finite number"),
        (
            {"model_definitions": {"gemma-3-270m": {"n_layers": 2_000_000}}},
            "n_layers: 2000000 is not allowed; need at most 1000",
        ),
        ({"responses": {"annotations": "a/{lang}/*.json"}}, "need no braces but those of {model}"),
        ({"responses": {"annotations": "a/{model/*.json"}}, "need no braces but those of {model}"),
        ({"model_definitions": {False: {}}}, "model_definitions: the key False is not allowed; .*quote"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_allowed(changes, message):
    with pytest.raises(BabelscopeError, match=f"^configuration: .*{message}"):
        check(changes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"hub": "a/b", "files": "x"}, r"need exactly one of package, files, hub; found \['files', 'hub'\]"),
        (
            {"hub": "a/b"},
            "need exactly one of: package with file; package with messages; files; hub with revision",
        ),
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


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            {"default": {"files": "text/all.txt"}},
            r"text/all\.txt' gives every language the same text; put {lang}",
        ),
        ({"default": {"files": "text/{lang}/{x}.txt"}}, "need no braces but those of {lang}"),
        ({"esp": {"files": "es.txt"}}, r"sources\.esp: 'esp' is neither .* \(did you mean 'es'\?\)"),
        ({"frr": {"files": "fr.txt"}}, r"sources\.frr: 'frr' is neither .* \(did you mean 'fr'\?\)"),
        ({"de": {"files": "de.txt"}}, "sources.de: 'de' is neither default nor in languages"),
    ],
)
def test_a_source_that_no_language_or_every_language_would_read_is_an_error(sources, message):
    with pytest.raises(BabelscopeError, match=message):
        check(config=overlay({"corpus": {"sources": sources}}))


def test_one_file_with_a_language_column_serves_every_language():
    check(config=overlay({"corpus": {"sources": {"default": {"files": "a.csv", "language_column": "code"}}}}))


def test_the_embedded_source_of_a_language_that_is_not_studied_is_dropped():
    config = overlay({"languages": ["en", "fr"]})
    assert list(config["corpus"]["sources"]) == ["default"]
    check(config=config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nlanguages: [en]\nseed: 2\n", r"mine\.yaml, line 3: the key 'seed' is given twice"),
        ("a:\n  - b: 1\n    b: 2\n", "line 3: the key 'b' is given twice"),
        ('{"a": {"b": 1, "b": 2}}', "line 1: the key 'b' is given twice"),
    ],
)
def test_a_key_given_twice_in_a_file_is_an_error(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BabelscopeError, match=message):
        refuse_duplicate_keys([path])


def test_a_file_without_a_key_given_twice_passes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &x {b: 1}\nc: {b: *x}\n", encoding="utf-8")
    refuse_duplicate_keys([path, *(ROOT / "config").glob("*.yaml")])


def test_what_rule_files_import_needs_neither_numpy_nor_pydantic():
    code = (
        "import sys; import babelscope.study.configuration, babelscope.study.languages, "
        "babelscope.study.code_digest; "
        "print(sorted({'numpy', 'pydantic', 'h5py', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_local_files_replace_the_packaged_text_whole():
    sources = overlay({"corpus": {"sources": {"default": {"files": "text/{lang}.txt"}}}})["corpus"]["sources"]
    assert sources == {"default": {"files": "text/{lang}.txt"}}


def test_a_language_of_its_own_source_leaves_the_others_alone():
    config = overlay(
        {
            "languages": ["en", "es", "de"],
            "corpus": {"sources": {"de": {"files": "de.txt"}, "es": {"files": "es.txt"}}},
        }
    )
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


HUB = {"hub": "a/b", "revision": "c"}
NEWS = {"sources": {"default": {"files": "news/{lang}.txt"}}}


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({"sources": {"default": HUB | {"parallel": True}}}, "numbers of rows are not: name their id_column"),
        ({"sources": {"default": HUB | {"id_column": "x"}}}, "id_column without parallel: true"),
        ({"domains": {"news": NEWS | {"languages": ["xx"]}}}, r"domains\.news: 'xx' is not in languages"),
        ({"domains": {"n": NEWS}, "derive": {"n": {"how": "romanise"}}}, "'n' is the name of a domain, too"),
        ({"derive": {"s": {"how": "shared_tokens"}}}, "shared_tokens without other"),
        ({"derive": {"s": {"how": "romanise", "other": "fr"}}}, "romanise with other"),
        ({"derive": {"s": {"how": "translate"}}}, r"derive\.s\.how: 'translate' is not allowed"),
        ({"domains": {"a.b": NEWS}}, r"'a\.b' is not allowed"),
    ],
)
def test_corpora_that_make_no_sense_are_refused(corpus, message):
    config = merged(EMBEDDED, {"corpus": {"sources": {"default": None}}} if "sources" in corpus else {})
    with pytest.raises(BabelscopeError, match=f"^configuration: corpus.*{message}"):
        check({"corpus": corpus}, config)


def test_a_source_of_another_package_replaces_the_embedded_one_whole():
    source = {"package": "program", "messages": "locale/{locale}/*.mo", "parallel": True}
    config = merged(EMBEDDED, {"corpus": {"sources": {"default": source}}})
    replace_sources(config, EMBEDDED)
    assert config["corpus"]["sources"] == {"default": source}


def test_numbers_inside_of_settings_may_come_from_the_command_line_as_text():
    embedded = {"gpus": {"jobs_per_gpu": 1}, "experts": {"normalize_rows": False, "device": "cpu"}, "seed": 0}
    given = {"gpus": {"jobs_per_gpu": "2"}, "experts": {"normalize_rows": "true", "device": "1"}, "seed": "x"}
    assert merge_config(embedded, given) == {
        "gpus": {"jobs_per_gpu": 2},
        "experts": {"normalize_rows": True, "device": "1"},
        "seed": "x",
    }
