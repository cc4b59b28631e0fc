"""The table of files in the documentation is that of the code."""

from __future__ import annotations

from tests.support import ROOT

from babelscope.files.page import files_page, find_kinds


def test_the_page_of_files_is_in_step_with_the_code():
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    assert page == files_page(find_kinds()), "run: python -m babelscope.files.page > docs/files.md"
