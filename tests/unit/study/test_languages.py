"""The table of languages."""

from __future__ import annotations

import re

import pytest
from tests.support import ROOT

from babelscope.study.errors import BabelscopeError
from babelscope.study.languages import read_languages

HEADER = "code\tname\tfamily\tgenus\tscript\n"


def test_the_papers_languages_and_their_families():
    table = read_languages(ROOT / "resources" / "languages.tsv")
    assert {"en", "fr", "es", "pt", "bn", "ur", "hi", "ar", "zh", "de"} <= set(table)
    assert {code for code in table if table[code].genus == "Romance"} >= {"fr", "es", "pt"}
    assert {table[code].genus for code in ("bn", "ur", "hi")} == {"Indic"}
    assert table["fr"].name == "French"


def test_codes_can_be_names_of_files_and_scripts_are_iso_15924():
    for code, row in read_languages(ROOT / "resources" / "languages.tsv").items():
        assert re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", code)
        assert re.fullmatch("[A-Z][a-z]{3}", row.script)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code\tname\nde\tGerman\n", r"columns \['code', 'name'\], need"),
        (HEADER + "de\tGerman\tIndo-European\tGermanic\n", "line 2: every column needs a value"),
        (HEADER + "de\tGerman\t\tGermanic\tLatn\n", "line 2: every column needs a value"),
        (HEADER + "de\tGerman\tX\tY\tLatn\tmore\n", "line 2: every column needs a value"),
        (HEADER + 2 * "de\tGerman\tX\tY\tLatn\n", "line 3: de is given twice"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    path = tmp_path / "languages.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BabelscopeError, match=message):
        read_languages(path)


def test_every_language_has_a_family_of_scripts_and_an_area():
    table = read_languages(ROOT / "resources" / "languages.tsv")
    assert all(row.script_family and row.area for row in table.values())
    families = {row.script: row.script_family for row in table.values()}
    assert len(set(families.items())) == len({(row.script, row.script_family) for row in table.values()})
    assert {table[code].script_family for code in ("hi", "bn", "ta", "te")} == {"Brahmic"}
    assert {table[code].area for code in ("hi", "ur", "ta")} == {"South Asia"}


def test_a_language_of_ones_own_needs_no_family_of_scripts_and_no_area(tmp_path):
    path = tmp_path / "languages.tsv"
    path.write_text(HEADER + "de\tGerman\tX\tY\tLatn\n", encoding="utf-8")
    assert (read_languages(path)["de"].script_family, read_languages(path)["de"].area) == ("", "")
    header = HEADER.rstrip() + "\tscript_family\tarea\n"
    path.write_text(header + "de\tGerman\tX\tY\tLatn\tEuropean\tEurope\nxx\tXish\tX\tY\tLatn\n", "utf-8")
    assert [row.area for row in read_languages(path).values()] == ["Europe", ""]
