"""chrF, repetition, and the language of responses."""

import math
import subprocess
import sys
from importlib.metadata import files

import pytest

from babelscope.responses.measures import (
    chrf,
    identifiable_languages,
    language_share,
    read_responses,
    repetition_rate,
    summarise_responses,
    write_responses,
)
from babelscope.study.errors import BabelscopeError

ENGLISH = "The library opens every morning at nine and closes late in the evening."
FRENCH = "La bibliothèque ouvre chaque matin à neuf heures et ferme tard le soir."


@pytest.mark.parametrize(
    ("dense", "pruned", "expected"),
    [
        ("the cat sat on the mat", "the cat is on the mat", 61.9251512899325),
        ("नमस्ते दुनिया, कैसे हो?", "नमस्ते जग, कैसे हैं?", 40.632401786249936),
        ("他们去了北京的学校", "他去北京学校了", 17.952450266860748),
        ("ab", "abcdefgh", 55.0),
        ("hello world", "hello  world\n", 100.0),
        ("abc", "xyz", 0.0),
        ("", "abc", 0.0),
    ],
)
def test_chrf_of_fixed_examples(dense, pruned, expected):
    assert chrf(dense, pruned) == pytest.approx(expected, abs=1e-9)


def test_chrf_by_hand():
    # Order 1: 1 of 1 found, 1 of 2 expected; longer orders do not fit into one character.
    assert chrf("ab", "a") == pytest.approx(100 * 5 * 1 * 0.5 / (4 * 1 + 0.5))


def test_two_empty_responses_are_equal():
    assert chrf("", " \n") == 100.0


def test_repetition_by_hand():
    # a b c d a b c d: 4-grams abcd bcda cdab dabc abcd, 4 distinct of 5.
    assert repetition_rate([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
    assert repetition_rate("one two three four, one two three four!") == pytest.approx(1 / 5)
    assert repetition_rate("one two three four five") == 0
    assert repetition_rate(["x"] * 13) == pytest.approx(1 - 1 / 10)


def test_repetition_is_not_defined_below_n_units():
    assert math.isnan(repetition_rate("one two three"))
    assert math.isnan(repetition_rate(""))
    assert repetition_rate("one two three", n=3) == 0


def test_scripts_without_spaces_are_cut_into_characters():
    assert repetition_rate("北京大学北京大学") == pytest.approx(1 / 5)
    # A word of a spaced script stays one unit, with its vowel signs.
    assert repetition_rate("किताब किताब किताब किताब किताब") == pytest.approx(1 / 2)


def test_share_of_texts_in_the_language():
    assert language_share([ENGLISH, FRENCH, ENGLISH, "?"], "en") == (0.5, 0.25)
    assert language_share([FRENCH], "fr-CA") == (1.0, 0.0)
    assert language_share(["x", "y"], "zz", identify={"x": "zz", "y": None}.get) == (0.5, 0.5)


def test_language_share_of_nothing_or_of_an_unknown_language_is_an_error():
    with pytest.raises(BabelscopeError, match="'en': there is no text"):
        language_share([], "en")
    with pytest.raises(BabelscopeError, match=r"'sw' is not known .*\bar\b.*\bur\b"):
        language_share([ENGLISH], "sw")


def test_the_identifier_names_the_language_of_whole_sentences():
    path = next(entry for entry in files("eld") if entry.name == "sentences.txt").locate()
    with open(path, encoding="utf-8", newline="\n") as file:
        lines = [line.rstrip("\n").split("\t", 1) for line in file]
    # Hindi is left out: eld takes about one sentence in seven of it for another language.
    for language in ("en", "fr", "de", "zh", "ar", "bn", "ur"):
        sentences = [text for code, text in lines if code == language][:100]
        assert language_share(sentences, language)[0] >= 0.98
    assert {"en", "es", "fr", "de", "zh", "ar", "hi", "bn", "ur"} <= identifiable_languages()


def test_the_table_of_the_identifier_is_loaded_only_when_needed():
    code = (
        "import sys; import babelscope.responses.measures; "
        "print('eld' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


SAID = {"model": "tiny", "language": "en"}


def write_rows(path, responses):
    write_responses(path, responses, **SAID)
    return path


def test_a_responses_file_becomes_one_row(tmp_path):
    path = write_rows(
        tmp_path / "en.jsonl",
        [
            {"id": "a", "prompt": ENGLISH, "dense": ENGLISH, "pruned": ENGLISH, "mode": "greedy"},
            {"id": "b", "prompt": ENGLISH, "dense": "abc", "pruned": FRENCH + FRENCH, "mode": "greedy"},
            {"id": "b", "prompt": ENGLISH, "dense": "x", "pruned": "y", "mode": "sampled"},
        ],
    )
    row = summarise_responses(path, "tiny", "en")
    second = chrf("abc", FRENCH + FRENCH)
    assert row["n_responses"] == 2
    assert row["chrf"] == pytest.approx((100 + second) / 2)
    assert row["chrf_se"] == pytest.approx((100 - second) / 2)
    assert row["identical_share"] == 0.5
    assert row["repetition_dense"] == 0 and row["repetition_dense_se"] is None
    assert row["repetition_pruned"] == pytest.approx(repetition_rate(FRENCH + FRENCH) / 2)
    assert (row["language_share_prompt"], row["undetermined_share_prompt"]) == (1.0, 0.0)
    assert (row["language_share_dense"], row["undetermined_share_dense"]) == (0.5, 0.5)
    assert (row["language_share_pruned"], row["undetermined_share_pruned"]) == (0.5, 0.0)
    sampled = summarise_responses(path, "tiny", "en", mode="sampled")
    assert (sampled["n_responses"], sampled["chrf"], sampled["chrf_se"]) == (1, 0.0, None)
    assert sampled["repetition_dense"] is None
    write_responses(path, read_responses(path, **SAID), model="tiny", language="sw")
    assert summarise_responses(path, "tiny", "sw")["language_share_dense"] is None


def test_plain_removal_and_compensation_are_both_compared_with_the_dense_model(tmp_path):
    line = {"id": "1", "prompt": "p", "dense": FRENCH, "pruned": "abc abc", "compensated": FRENCH}
    path = tmp_path / "fr.jsonl"
    write_responses(path, [line], model="tiny", language="fr")
    row = summarise_responses(path, "tiny", "fr")
    assert row["chrf"] < 50 and row["chrf_compensated"] == pytest.approx(100)
    assert (row["identical_share"], row["identical_share_compensated"]) == (0, 1)
    assert row["language_share_compensated"] == 1


def test_only_line_feeds_end_a_response(tmp_path):
    text = "one\u2028two\u0085three"
    path = write_rows(tmp_path / "en.jsonl", [{"id": 1, "prompt": text, "dense": text, "pruned": ""}])
    assert [response["prompt"] for response in read_responses(path, **SAID)] == [text]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "prompt": "p", "dense": "d"}, "response 1: 'pruned' is None"),
        ({"id": "a", "prompt": "p", "dense": 3, "pruned": "x"}, "response 1: 'dense' is 3"),
        (
            {"id": "a", "prompt": "p", "dense": "d", "pruned": "x", "mode": "beam"},
            "'mode' is 'beam', allowed are greedy, sampled",
        ),
    ],
)
def test_a_row_that_is_no_response_is_named_with_its_problem(tmp_path, row, message):
    path = write_rows(tmp_path / "hi.jsonl", [row])
    with pytest.raises(BabelscopeError, match=message) as error:
        read_responses(path, **SAID)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("other", [{"model": "large"}, {"language": "fr"}])
def test_responses_of_another_model_or_language_are_refused_with_both_names(tmp_path, other):
    path = write_rows(tmp_path / "en.jsonl", [{"id": 1, "prompt": "p", "dense": "d", "pruned": "e"}])
    ((name, value),) = other.items()
    with pytest.raises(BabelscopeError, match=f"made with {name} = '{SAID[name]}', this run has '{value}'"):
        read_responses(path, **(SAID | other))


def test_a_mode_that_the_file_lacks_is_an_error(tmp_path):
    path = write_rows(tmp_path / "en.jsonl", [{"id": 1, "prompt": "p", "dense": "d", "pruned": "e"}])
    with pytest.raises(BabelscopeError, match="no response has mode 'sampled'"):
        summarise_responses(path, "tiny", "en", mode="sampled")
    with pytest.raises(BabelscopeError, match="no such file; rule generate_responses makes it"):
        read_responses(tmp_path / "missing.jsonl", **SAID)
