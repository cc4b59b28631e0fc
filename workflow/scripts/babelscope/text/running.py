"""Running text: a whole source as one text, cut into windows of equally many tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from babelscope.files.kind import Kind
from babelscope.study.errors import BabelscopeError, require
from babelscope.text.sources import read_files, read_hub
from babelscope.text.tokens import TokenizedCorpus

RUNNING_TEXT = Kind(
    "running_text",
    "../texts/{part}.json",
    "read_running_text",
    ("part",),
    fields={"part": "calibration or text", "text": "all rows of the source, an empty line between them"},
)


def read_running_text(source: Mapping[str, Any] | None, part: str) -> str:
    """All rows of a source in their order, an empty line between them, as published tables join WikiText-2.

    Parameters
    ----------
    source : an entry of ``perplexity``: a package's file, local files, or a hub dataset.
    part : its name, for errors.
    """
    if source is None:
        raise BabelscopeError(
            f"perplexity.{part}: no source of text is given; config/wikitext2.yaml has one of each"
        )
    rows = read_hub(source, "en", None) if "hub" in source else read_files(source, "en")
    text = "\n\n".join(row for _, row in rows)
    require(bool(text.strip()), f"perplexity.{part}: {dict(source)} has no text")
    return text


def cut_windows(
    token_ids: np.ndarray, window: int, bos_token_id: int, *, prefix_every_window: bool
) -> TokenizedCorpus:
    """Running text as documents of ``window`` tokens, all of them held out; what is left over is dropped.

    Parameters
    ----------
    token_ids : int (n,), without special tokens.
    window : tokens of a window, the one that begins a document included.
    bos_token_id : that token; -1: the model has none.
    prefix_every_window : whether it stands before every window or once before the text. There it is an
        ordinary token; the first token of a window that has none before it is not predicted.

    Raises
    ------
    BabelscopeError
        Where the text is shorter than a window.
    """
    every = prefix_every_window and bos_token_id >= 0
    if not every and bos_token_id >= 0:
        token_ids = np.concatenate([[bos_token_id], token_ids])
    length = window - int(every)
    n = len(token_ids) // length
    require(n > 0, f"{len(token_ids)} tokens of text are fewer than a window of {window}")
    return TokenizedCorpus(
        token_ids=np.asarray(token_ids[: n * length], dtype=np.int32),
        offsets=np.arange(n + 1, dtype=np.int64) * length,
        heldout=np.ones(n, dtype=bool),
        n_bytes=np.ones(n, dtype=np.int32),  # of no use for perplexity
        bos_token_id=bos_token_id if every else -1,
    )
