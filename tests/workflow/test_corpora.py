"""A study of parallel text with a second corpus and pseudo-languages, and what an addition runs."""

from __future__ import annotations

import json
import shutil

import pytest
from benchmarks.parallel_tables import PARTS
from tests.support import change_config, make_study, planned_jobs, run_snakemake
from tests.tiny import make_text

from babelscope.files.tables import read_table
from babelscope.recording.together import read_files
from babelscope.text.documents import read_documents

LANGUAGES = ("en", "fr", "hi")
SOURCE = {"files": "text/{lang}.jsonl", "parallel": True, "id_column": "key"}
CORPUS = {
    "profile_documents": 16,
    "heldout_documents": 3,
    "sources": {"default": SOURCE},
    "domains": {"news": {"sources": {"default": {"files": "text/{lang}.txt"}}}},
    "derive": {
        "shuffled": {"how": "shuffle_words", "languages": ["hi"]},
        "equal": {"how": "equal_tokens", "n_tokens": 6, "languages": ["hi"]},
    },
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The target `corpora` of three languages, run to its end."""
    folder = tmp_path_factory.mktemp("corpora") / "study"
    make_study(folder, LANGUAGES, more_texts=("ar",))
    for language in (*LANGUAGES, "ar"):
        rows = [
            {"key": f"message {number}", "text": text}
            for number, text in enumerate(make_text(language, 60, seed=1))
            if language != "fr" or number % 4
        ]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / "text" / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recording = {"controls": [], "other_partitions": 0, "token_types": 50, "documents_per_block": 2}
    changes = {"corpus": CORPUS, "recording": recording}
    change_config(folder, changes | {"evidence": {"replicates": 100, "splits": 10}})
    run_snakemake(folder, "corpora", "--max-threads", "1", check=True)
    return folder


def results(study, name):
    return read_table(study / "results" / "tiny" / "evidence" / name)


def test_claims_are_judged_in_every_corpus_and_over_all_domains(corpora):
    rows = results(corpora, "corpora_claims.csv")
    assert list(dict.fromkeys(row["corpus"] for row in rows)) == [
        "main",
        "news",
        "shuffled",
        "equal",
        "all domains",
    ]
    sizes = {row["corpus"]: row["n_languages"] for row in rows}
    assert set(sizes.values()) == {"3"}
    together = [row for row in rows if row["corpus"] == "all domains"]
    assert all(row["by_domain"].startswith("main: ") and "; news: " in row["by_domain"] for row in together)
    held = [row for row in together if row["verdict"] == "holds"]
    assert all(row["by_domain"].count(" holds") == 2 for row in held)


def test_a_language_in_two_corpora_has_its_row_beside_its_halves(corpora):
    rows = results(corpora, "domains.csv")
    assert {row["language"] for row in rows} == set(LANGUAGES)
    assert {(row["corpus_a"], row["corpus_b"]) for row in rows} == {("main", "news")}
    assert all(float(row["halves"]) > 0 and row["nearest_a"] and row["nearest_b"] for row in rows)
    components = {row["component"] for row in results(corpora, "variance_components.csv")}
    assert components == {"language", "domain", "language x domain", "documents"}


def test_the_noise_floor_has_the_second_corpus_beside_it(corpora):
    run_snakemake(corpora, "results/tiny/evidence/noise_floor.csv", "--max-threads", "1", check=True)
    for row in results(corpora, "noise_floor.csv"):
        assert row["second_corpus"] == "news"
        assert float(row["second_corpus_low"]) < float(row["second_corpus_high"])
        assert float(row["second_corpus_euclidean"]) >= 0 and float(row["floor_euclidean"]) > 0


def test_translations_keep_together_and_missing_ones_are_counted(corpora):
    found = {row["language"]: row for row in results(corpora, "translations.csv")}
    assert found["hi"]["n_documents"] == "16"
    assert int(found["hi"]["n_common"]) < 16
    tokens = [corpora / "results" / "tiny" / "activations" / f"{code}.h5" for code in LANGUAGES]
    recordings = read_files(tokens, "tiny", LANGUAGES).together(LANGUAGES)
    assert len({len(count.n_tokens) for count in recordings}) == 1
    assert all(count.paired for count in recordings)
    pairs = results(corpora, "sentences.csv")
    assert len(pairs) == 3 and {row["n_sentences"] for row in pairs} == {found["hi"]["n_common"]}
    for figure in ("evidence_corpora", "evidence_sentences"):
        assert (corpora / "results" / "tiny" / "figures" / f"{figure}.png").stat().st_size > 10_000


def test_pseudo_languages_hold_the_same_documents(corpora):
    folder = corpora / "results" / "corpora"
    own, shuffled = (read_documents(folder / f"{name}.jsonl", name) for name in ("hi", "hi.shuffled"))
    assert [(d.id, d.split, d.unit) for d in own] == [(d.id, d.split, d.unit) for d in shuffled]
    assert [sorted(d.text.split()) for d in own] == [sorted(d.text.split()) for d in shuffled]


def test_counts_by_token_are_judged_by_class(corpora):
    shares = results(corpora, "token_classes.csv")
    assert {row["language"] for row in shares} == set(LANGUAGES)
    assert all(float(row["share"]) == 1 for row in shares if row["class"] == "all tokens")
    assert "all tokens" in {row["corpus"] for row in results(corpora, "class_claims.csv")}


@pytest.mark.parametrize("part", [name for name in PARTS if name != "matrix"])
def test_tables_of_the_documents_are_made_from_the_files_of_a_run(corpora, part):
    text = PARTS[part](corpora / "results" / "tiny")
    assert "| --- |" in text and "nan" not in text


def test_new_corpora_run_their_own_jobs_and_the_fan_ins(corpora, tmp_path):
    study = shutil.copytree(corpora, tmp_path / "study", symlinks=True)
    permuted = {"how": "permute_characters", "languages": ["hi"]}
    shared = {"how": "shared_tokens", "other": "en", "languages": ["fr"]}
    change_config(study, {"corpus": {"derive": {"permuted": permuted, "shared": shared}}})
    jobs = planned_jobs(study, "corpora")
    assert languages_of(jobs) == {"hi.permuted", "fr.shared"}
    fan_ins = {"save_config", "compare_corpora", "plot_corpora"}
    assert {rule for rule, of in jobs if "lang=" not in of} - {"corpora"} == fan_ins


def test_a_new_language_runs_none_of_the_others(corpora, tmp_path):
    study = shutil.copytree(corpora, tmp_path / "study", symlinks=True)
    change_config(study, {"languages": [*LANGUAGES, "ar"]})
    assert languages_of(planned_jobs(study, "corpora")) == {"ar", "ar.news"}


def languages_of(jobs):
    return {part.partition("=")[2] for _, of in jobs for part in of.split() if part.startswith("lang=")}
