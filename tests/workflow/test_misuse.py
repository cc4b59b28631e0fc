"""Mistakes of a user: one clear message, before any job starts or from the job that meets it."""

from __future__ import annotations

import shutil

import pytest
from tests.support import ROOT, change_config, make_study, run_snakemake


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("misuse") / "study")


@pytest.fixture
def study(fresh, tmp_path):
    return shutil.copytree(fresh, tmp_path / "study")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experts": {"n_expert": 8}}, "unknown key 'n_expert' (did you mean 'n_experts'?)"),
        ({"recording": {"documents_per_segment": 12}}, "must be a multiple of recording.documents_per_block"),
    ],
)
def test_configuration_mistakes_stop_before_any_job(study, changes, message):
    """One mistake of the schema, one between keys; tests/unit/study/test_configuration.py has all of them."""
    change_config(study, changes)
    result = run_snakemake(study)
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
    assert not (study / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "corpus=x"], "configuration: corpus: 'x' is not allowed; need a section"),
        (["--configfile", "mine.yaml"], "mine.yaml, line 3: the key 'seed' is given twice"),
    ],
)
def test_what_is_laid_over_the_configuration_is_checked_and_ends_in_one_line(fresh, arguments, message):
    (fresh / "mine.yaml").write_text("seed: 1\nsharing: {threshold: 0.1}\nseed: 2\n", encoding="utf-8")
    result = run_snakemake(fresh, "-n", *arguments)
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
    assert ".smk" not in result.stdout and "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_definitions": {"tiny": {"n_layers": 7}}},
            "model_definitions.tiny.n_layers is 7, tiny-model/config.json has 2 layers",
        ),
        (
            {"model_definitions": {"tiny": {"source": {"path": "nowhere"}}}},
            "model_definitions.tiny.source.path: no config.json in nowhere",
        ),
        (
            {"corpus": {"profile_documents": 100}},
            "language en: 40 documents of at least 5 characters, need 5 held-out + 100 profile",
        ),
    ],
)
def test_wrong_models_and_short_texts_are_named(study, changes, message):
    change_config(study, changes)
    result = run_snakemake(study, "results/tiny/tokens/en.h5")
    assert result.returncode != 0
    assert message in result.stdout
    assert "Traceback" not in result.stdout
    assert not (study / "results" / "tiny" / "tokens").exists()


def test_fewer_documents_go_on_where_allowed(study):
    change_config(study, {"corpus": {"profile_documents": 100, "allow_fewer": True}})
    result = run_snakemake(study, "results/corpora/en.jsonl")
    assert result.returncode == 0, result.stdout
    assert len((study / "results" / "corpora" / "en.jsonl").read_text().splitlines()) == 40


def test_text_that_is_no_text_names_file_and_line(study):
    (study / "text" / "en.txt").write_bytes(b"a good line of text\nbad \xff line\n")
    result = run_snakemake(study, "results/corpora/en.jsonl")
    assert "text/en.txt, line 2: not UTF-8 (byte 0xff at 4)" in result.stdout
    assert "Traceback" not in result.stdout


def test_hub_without_network_says_what_to_do(study):
    hub = {"hub": "nobody/nothing", "revision": "0" * 40}
    change_config(study, {"corpus": {"sources": {"default": {**hub, "files": None}}}})
    change_config(study, {"model_definitions": {"tiny": {"source": {**hub, "path": None}}}})
    # a port of this machine where nobody listens stands for a hub that is out of reach
    result = run_snakemake(
        study,
        "--keep-going",
        "results/tiny/model.json",
        "results/corpora/en.jsonl",
        env={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HUB_DOWNLOAD_TIMEOUT": "2"},
        timeout=300,
    )
    assert result.returncode != 0
    assert "hub repository nobody/nothing at revision 000" in result.stdout
    assert "Run rule prepare_model where there is a network, or give a local folder" in result.stdout
    assert "hub dataset nobody/nothing (default) at revision 000" in result.stdout


def test_an_overlay_source_replaces_the_embedded_one(study, tmp_path):
    """With the embedded configuration as it is shipped, local files need two lines and nothing else."""
    shutil.copy(ROOT / "config" / "config.yaml", study / "config" / "config.yaml")
    (study / "mine.yaml").write_text(
        "languages: [en, fr]\ncorpus:\n  profile_documents: 20\n  heldout_documents: 5\n"
        "  sources:\n    default: {files: 'text/{lang}.txt'}\n"
    )
    result = run_snakemake(study, "results/corpora/fr.jsonl", "--configfile", "mine.yaml")
    assert result.returncode == 0, result.stdout
    assert '"id": "fr.txt:' in (study / "results" / "corpora" / "fr.jsonl").read_text()
