"""Cases that once gave a wrong table in silence, a traceback or a dead process: each has one clear line now.

docs/robustness.md has a row for each group. What generators draw is in ``test_generated``.
"""

from __future__ import annotations

import json
import logging
import subprocess
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from tests.support import ROOT, annotation_export, merged
from tests.tiny import save_model

from babelscope.comparison.frequency import read_frequency, write_frequency
from babelscope.figures.style import Look, resolution, save_figure
from babelscope.files import hdf5
from babelscope.files.whole import read_json
from babelscope.model.prepare import prepare_model
from babelscope.responses.agreement import summarise_annotations
from babelscope.responses.measures import write_responses
from babelscope.responses.page import make_items, page_digests, read_judged
from babelscope.study.configuration import check_config, replace_sources
from babelscope.study.errors import BabelscopeError, printable
from babelscope.study.job import run_job
from babelscope.study.languages import read_languages
from babelscope.text.documents import sample_documents
from babelscope.text.sources import require_printable

SCHEMA = ROOT / "config" / "config.schema.yaml"
CODES = list(read_languages(ROOT / "resources" / "languages.tsv"))
EMBEDDED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
SAMPLING = {
    "profile_documents": 3,
    "heldout_documents": 1,
    "min_characters": 1,
    "max_characters": 400,
    "allow_fewer": False,
    "seed": 0,
}


def in_one_line(action, message):
    """The action ends in one clear error that matches, and the error can be printed."""
    with pytest.raises(BabelscopeError, match=message) as caught:
        action()
    text = str(caught.value)
    assert len(text) < 2000 and text.count("\n") <= 1 and printable(text) == text


# Documents and configuration


@pytest.mark.parametrize(
    "other",
    ["a\u200bbcd efgh ijkl", "abcd\u00a0efgh  ijkl", "\uff41bcd efgh ijkl", "abcd efgh\tijkl\u200d"],
    ids=["zero width", "other spaces", "full width", "tab and joiner"],
)
def test_texts_that_look_the_same_are_never_in_both_profile_and_heldout(tmp_path, other):
    (tmp_path / "en.txt").write_text(f"abcd efgh ijkl\n{other}\nx y z\nq r s\nt u v\n", encoding="utf-8")
    found = sample_documents("en", {"files": str(tmp_path / "en.txt")}, **SAMPLING)
    assert len(found) == 4 and sum("efgh" in document.text for document in found) <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n", "line 1: JSON nested more than 200 deep"),
        ('{"text": "a\\ud800b"}\n' * 9, "en.jsonl"),
        ('{"text": "' + "a" * 3_000_000 + '"\n', "en.jsonl"),
        ("[1, 2]\n", "en.jsonl"),
        ("null\n", "en.jsonl"),
    ],
    ids=["deep", "lone surrogate", "giant and cut", "list", "null"],
)
def test_json_of_documents_that_is_none_is_refused_with_its_file(tmp_path, content, message):
    (tmp_path / "en.jsonl").write_text(content, encoding="utf-8")
    in_one_line(lambda: sample_documents("en", {"files": str(tmp_path / "en.jsonl")}, **SAMPLING), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": "x"}, "corpus: 'x' is not allowed; need a section"),
        ({"pruning": {"unions": {"a.b": ["en"]}}}, "a\\.b"),
        ({"responses": {"annotations": "a/{lang}.json"}}, "no braces but those of {model}"),
        ({"responses": {"annotations": "a/}.json"}}, "no braces but those of {model}"),
        ({"models": ["m" * 250]}, "at most 80 characters"),
        ({"figures": {"colormap": "jet"}}, "need one of"),
        ({"figures": {"dpi": 30_000}}, "need at most 1200"),
        ({"languages": ["en", False]}, "quote it, 'no'"),
        ({"responses": {"annotations": "\x1b[2J{model}"}}, "responses.annotations: .*x1b"),
        ({"corpus": {"sources": {"default": {"files": "a\nb/{lang}.txt", "package": None}}}}, "files"),
        ({"corpus": {"sources": {"default": {"files": "{a}/{lang}.txt"}}}}, "no braces but those of {lang}"),
        ({"evidence": {"sweep": {"top_fractions": [0.3, 0.3000000001]}}}, "both be the variant top_30"),
    ],
)
def test_a_setting_that_no_job_could_use_is_refused_before_any_job(changes, message):
    config = merged(EMBEDDED, changes)
    replace_sources(config, EMBEDDED)
    in_one_line(lambda: check_config(config, SCHEMA, CODES), f"^configuration: .*{message}")


def test_every_resolution_that_the_schema_allows_draws_every_size(tmp_path):
    """Snakemake removes the old figures first: no setting that passes may fail in the job."""
    assert resolution((9, 7), 1200) == 1200
    for size in ((300, 300), (3, 2000), (0.1, 70_000)):
        width, height = (round(length * resolution(size, 1200)) for length in size)
        assert max(width, height) < 2**16 and width * height < 1.01 * 2**28
    save_figure(Figure(figsize=(2, 2000)), [tmp_path / "a.png"], Look(dpi=1200))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


# What reaches the terminal


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable("a\x1b[2Jb\x07\u202ec\td\n") == "a\\x1b[2Jb\\x07\\u202ec\td\n"
    assert printable("Grüße, हिन्दी, 中文\u3000") == "Grüße, हिन्दी, 中文\u3000"
    assert str(BabelscopeError("file \x1b]0;x\x07")) == "file \\x1b]0;x\\x07"


def test_the_log_of_a_job_holds_no_control_characters(tmp_path, capfd):
    def main(job):
        logging.getLogger("babelscope").warning("reading %s", "a\x1b[31m.txt")
        raise BabelscopeError("no text in b\x1b[2J.txt")

    log = tmp_path / "a.log"
    job = SimpleNamespace(log=[str(log)], threads=1, params=SimpleNamespace(), resources=SimpleNamespace())
    with pytest.raises(SystemExit):
        run_job(main, {"snakemake": job}, network=True)
    shown = log.read_text() + capfd.readouterr().err
    assert "\x1b" not in shown and "a\\x1b[31m.txt" in shown and "b\\x1b[2J.txt" in shown


def test_names_of_files_that_snakemake_would_print_raw_are_refused():
    assert require_printable(["text/en.txt", "text/a\u200cb.txt"])
    in_one_line(lambda: require_printable(["text/en\x1b[2J.txt"]), "x1b.2J.txt: a file's name may have no")


# Annotations


@pytest.fixture
def judged(tmp_path):
    """Responses of a study, and an export of the page that follows from them."""
    rows = [
        {"id": str(i), "mode": "greedy", "prompt": "p", "dense": f"d{i}", "pruned": f"q{i}"} for i in range(2)
    ]
    path = tmp_path / "responses" / "en.jsonl"
    write_responses(path, rows, model="tiny", language="en")
    items = make_items(read_judged(path, "pruned", model="tiny", language="en"), language="en", seed=0)
    return path, annotation_export(items), page_digests([path], "tiny", ["en"], "pruned", 0)


def summarise(tmp_path, export, digests):
    (tmp_path / "export.json").write_text(json.dumps(export), encoding="utf-8")
    return summarise_annotations([tmp_path / "export.json"], digests, "tiny")


def test_a_forged_export_that_comes_alone_is_compared_with_the_page_that_was_written(tmp_path, judged):
    path, export, digests = judged
    assert summarise(tmp_path, export, digests)[0]["n_items"] == 2
    listed = [SimpleNamespace(**(item | {"key": "0" * 16})) for item in export["items"]]
    for language in ("en", "fr"):
        of_another_page = annotation_export(listed, language=language)
        in_one_line(lambda export=of_another_page: summarise(tmp_path, export, digests), "judges the page")
    of_a_command = annotation_export(listed, model="=cmd()")
    in_one_line(lambda: summarise(tmp_path, of_a_command, digests), "is about model '=cmd")
    in_one_line(lambda: page_digests([path], "tiny", ["fr"], "pruned", 0), "'en' is none of fr")


# Models


def a_folder(tmp_path):
    return save_model(tmp_path / "tiny", n_layers=2)


def prepare(folder, tmp_path):
    definition = {"source": {"path": str(folder)}, "n_layers": 2}
    return prepare_model("tiny", definition, tmp_path / "weights")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "[]", "need a JSON object"),
        ("config.json", "null", "need a JSON object"),
        ("config.json", "[" * 100_000, "cannot be read as JSON"),
        ("config.json", '{"model_type": 3}', "need a JSON object with a model_type"),
        ("config.json", '{"model_type": "llama", "hidden_size": "many"}', "cannot build this model"),
        ("tokenizer.json", "[]", "tokenizer.json"),
        ("tokenizer.json", '{"model": 1}', "tokenizer.json"),
        ("tokenizer.json", "{", "tokenizer.json"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json"),
        ("tokenizer_config.json", "[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_a_file_of_a_model_folder_that_is_none_is_named(tmp_path, file, content, message):
    folder = a_folder(tmp_path)
    (folder / file).write_text(content, encoding="utf-8")
    in_one_line(lambda: prepare(folder, tmp_path), message)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.999])
def test_a_part_of_the_weights_is_refused(tmp_path, share):
    folder = a_folder(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(weights.stat().st_size * share)])
    in_one_line(lambda: prepare(folder, tmp_path), "model.safetensors")


def test_a_tokenizer_of_a_larger_model_is_refused_before_a_token_is_written(tmp_path):
    folder = a_folder(tmp_path)
    found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    found["model"]["vocab"]["far"] = 9999
    (folder / "tokenizer.json").write_text(json.dumps(found), encoding="utf-8")
    in_one_line(lambda: prepare(folder, tmp_path), "highest id is 9999")


# Crafted result files


def reseal(path):
    with open(path, "r+b") as file:
        seal = hdf5._seal(file)
        file.seek(0)
        file.write(seal)


@pytest.mark.parametrize("how", ["soft link", "group", "other type", "other shape", "missing", "attribute"])
def test_a_crafted_file_with_a_right_seal_is_refused_or_read_as_what_it_is(tmp_path, how):
    """A seal can be made by anybody: kind, names, types and shapes are checked behind it."""
    path = tmp_path / "frequency.h5"
    write_frequency(path, np.full((2, 3, 4), 0.5), ["en", "fr"], "tiny")
    with h5py.File(path, "r+") as file:
        if how == "attribute":
            file.attrs["format_version"] = "1"
        else:
            del file["frequency"]
        if how == "soft link":
            file["frequency"] = h5py.ExternalLink("/etc/hostname", "/x")
        elif how == "group":
            file.create_group("frequency")
        elif how == "other type":
            file["frequency"] = np.full((2, 3, 4), b"x")
        elif how == "other shape":
            file["frequency"] = np.zeros(3)
    reseal(path)
    in_one_line(lambda: read_frequency(path, "tiny"), "frequency.h5: ")


def test_json_of_any_depth_or_size_ends_in_one_line(tmp_path):
    for content in ("[" * 200_000, '{"a": ' * 100_000, "1" * 5_000_000, '"' + "a" * 5_000_000):
        (tmp_path / "a.json").write_text(content, encoding="utf-8")
        in_one_line(lambda: read_json(tmp_path / "a.json"), "cannot be read as JSON")


# Messages


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: (path / "en.txt").mkdir(), "it is a folder"),
        (lambda path: subprocess.run(["mkfifo", path / "en.txt"], check=True), "it is no regular file"),
        (lambda path: None, "nothing has such a name"),
    ],
    ids=["folder", "pipe", "nothing"],
)
def test_a_pattern_that_matches_nothing_says_why(tmp_path, make, reason):
    make(tmp_path)
    in_one_line(lambda: sample_documents("en", {"files": str(tmp_path / "{lang}.txt")}, **SAMPLING), reason)


def test_weights_that_were_deleted_are_said_to_be_gone_and_nobody_is_told_to_load_pickles(tmp_path):
    folder = a_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BabelscopeError) as caught:
        prepare(folder, tmp_path)
    assert "no weights in it" in str(caught.value) and "allow_pickle" not in str(caught.value)
