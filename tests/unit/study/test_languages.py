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
