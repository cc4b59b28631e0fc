"""The tokens of one language, read from their file a few documents at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import open_h5
from babelscope.text.tokens import TOKENS, TokenizedCorpus


@dataclass(frozen=True)
class TokenFile:
    """An open ``tokens/{lang}.h5``: numbers of each document in memory, the tokens on disk.

    Attributes
    ----------
    offsets, heldout, n_bytes, bos_token_id, unit : as in ``TokenizedCorpus``.
    """

    offsets: np.ndarray
    heldout: np.ndarray
    n_bytes: np.ndarray
    bos_token_id: int
    unit: np.ndarray | None
    _tokens: Any

    @property
    def profile_idx(self) -> np.ndarray:
        """Indices of the profile documents, int64, in file order."""
        return np.flatnonzero(~self.heldout)

    def take(self, document_idx: np.ndarray) -> TokenizedCorpus:
        """Some documents, in the order given; all between the first and the last of them are read."""
        first, last = int(document_idx.min()), int(document_idx.max())
        start = self.offsets[first]
        window = TokenizedCorpus(
            token_ids=self._tokens[start : self.offsets[last + 1]],
            offsets=self.offsets[first : last + 2] - start,
            heldout=self.heldout[first : last + 1],
            n_bytes=self.n_bytes[first : last + 1],
            bos_token_id=self.bos_token_id,
            unit=None if self.unit is None else self.unit[first : last + 1],
        )
        return window.take(document_idx - first)


@contextmanager
def open_tokens(path: str | Path, model: str, language: str) -> Iterator[TokenFile]:
    """Open ``tokens/{lang}.h5`` of this model and language."""
    with open_h5(path, TOKENS, model=model, language=language) as file:
        yield TokenFile(
            offsets=file["offsets"][()],
            heldout=file["heldout"][()],
            n_bytes=file["n_bytes"][()],
            bos_token_id=int(file.attrs["bos_token_id"]),
            unit=file["unit"][()] if "unit" in file else None,
            _tokens=file["token_ids"],
        )
