"""The page from files to file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babelscope.experts.partition import Partition
from babelscope.explorer.contexts import read_contexts
from babelscope.explorer.data import Study, gather, group_contexts
from babelscope.explorer.page import read_modules, render
from babelscope.files.whole import write_text
from babelscope.study.languages import Language


def write_explorer(
    output: str | Path,
    files: Any,
    model: str,
    languages: Sequence[Language],
    partition: Partition,
    controls: Sequence[str],
    **settings: Any,
) -> None:
    """Write ``explorer.html``, whole or not at all.

    Parameters
    ----------
    files : paths by name: those of ``data.gather``, ``contexts`` (one per language), and ``template``, in
        whose folder style and modules are.
    partition : the study's own experts. controls : names of partitions.
    settings : of ``data.Study``: ``choice``, ``n_most``, ``seed``.

    Raises
    ------
    BabelscopeError
        Where a file is wrong or not the one asked for.
    """
    study = Study(model, languages, partition, **settings)
    pairs = zip(files.contexts, study.codes, strict=True)
    contexts = group_contexts({code: read_contexts(path, model, code) for path, code in pairs})
    folder = Path(files.template).parent
    template = Path(files.template).read_text(encoding="utf-8")
    style = (folder / "page.css").read_text(encoding="utf-8")
    page = render(template, style, read_modules(folder), gather(study, files, controls), contexts)
    write_text(output, page)
