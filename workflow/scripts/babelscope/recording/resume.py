"""Counts of an unfinished recording: constant in size, saved now and then, found again after a kill."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.whole import whole_file
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.neurons import NeuronTotals
from babelscope.recording.peaks import Peaks
from babelscope.recording.token_types import TypeCounts
from babelscope.study.progress import logger
from babelscope.text.tokens import Documents, documents_digest

# Sums of weights and entropies of routers are kept as whole multiples of this: the same in whatever order and
# groups they are added.
UNIT = 2.0**-32


@dataclass
class RunningCounts:
    """Sums over the documents done so far.

    Block ``i`` of the documents, counted from the first one, goes into row ``i % n_blocks``.

    Attributes
    ----------
    n_active : for each variant int64 (n_blocks, n_layers, n_experts); with routed experts their choices, then
        weights and entropies as ``RouterTap.count`` gives them.
    n_tokens : int64 (n_blocks,).
    n_documents : documents of whole segments done.
    done : bool (n_segment_documents,), documents done of the segment after them; empty: none.
    n_seen : tokens the model has seen for all of them, special tokens included.
    skipped : indices of documents left out.
    neurons : sums of neurons, where they are recorded.
    types : counts by token of the first variant, where they are recorded.
    peaks : best tokens of all units, where they are recorded.
    """

    n_active: list[np.ndarray]
    n_tokens: np.ndarray
    n_documents: int = 0
    done: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    n_seen: int = 0
    skipped: list[int] = field(default_factory=list)
    neurons: NeuronTotals | None = None
    types: TypeCounts | None = None
    peaks: Peaks | None = None

    @classmethod
    def zeros(cls, n_blocks: int, shapes: Sequence[tuple[int, ...]]) -> RunningCounts:
        """Nothing counted; ``shapes`` gives (n_layers, n_experts) of every variant."""
        return cls(
            [np.zeros((n_blocks, *shape), dtype=np.int64) for shape in shapes],
            np.zeros(n_blocks, dtype=np.int64),
        )

    def add(self, n_active: Sequence[np.ndarray], n_tokens: np.ndarray, first_block: int) -> None:
        """Add counts of consecutive blocks.

        Parameters
        ----------
        n_active : for each variant int64 (n_new_blocks, n_layers * n_experts) or (…, n_layers, n_experts).
        n_tokens : int64 (n_new_blocks,).
        first_block : number of the first of them, counted from the first document.
        """
        rows = (first_block + np.arange(len(n_tokens))) % len(self.n_tokens)
        np.add.at(self.n_tokens, rows, n_tokens)
        for total, new in zip(self.n_active, n_active, strict=True):
            np.add.at(total, rows, new.reshape(len(new), *total.shape[1:]))

    def finished_routers(self, top_k: int, n_experts_by_layer: tuple[int, ...]) -> ActivationCounts:
        """The choices of routers, checked, and the sums of their weights and, with logits, entropies."""
        n_active, weights, *entropy = self.n_active
        return ActivationCounts(
            n_active,
            self.n_tokens,
            top_k,
            n_experts_by_layer,
            gate_weight=weights * UNIT,
            router_entropy=entropy[0][:, :, 0] * UNIT if entropy else None,
        )

    def finished(self, top_k: Sequence[int]) -> list[ActivationCounts]:
        """The counts of every variant, checked."""
        return [ActivationCounts(n, self.n_tokens, k) for n, k in zip(self.n_active, top_k, strict=True)]

    def save(self, path: Path, key: str) -> None:
        """Write the counts, whole or not at all, under a key that names the recording."""
        state: dict[str, Any] = {f"n_active_{i}": n for i, n in enumerate(self.n_active)}
        state |= {"key": key, "numbers": [self.n_documents, self.n_seen]}
        state |= {"n_tokens": self.n_tokens, "done": self.done, "skipped": self.skipped}
        if self.neurons is not None:
            state |= {f"neurons_{name}": array for name, array in vars(self.neurons).items()}
        if self.types is not None:
            state |= {f"types_{name}": array for name, array in vars(self.types).items()}
        if self.peaks is not None:
            state |= {"peaks_n_random": self.peaks.n_random}
            state |= {f"peaks_{name}": array for name, array in self.peaks.arrays().items()}
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **state)

    @classmethod
    def load(cls, path: Path, key: str) -> RunningCounts | None:
        """Counts saved under this key; None where there are none, others or broken ones."""
        try:
            with np.load(path) as file:
                if str(file["key"]) != key:
                    return None
                n_variants = sum(name.startswith("n_active_") for name in file.files)
                n_documents, n_seen = (int(n) for n in file["numbers"])
                parts = {f.name: file.get(f"neurons_{f.name}") for f in fields(NeuronTotals)}
                types = {f.name: file.get(f"types_{f.name}") for f in fields(TypeCounts)}
                found = cls(
                    [file[f"n_active_{i}"] for i in range(n_variants)],
                    file["n_tokens"],
                    n_documents,
                    file["done"],
                    n_seen,
                    [int(idx) for idx in file["skipped"]],
                    None if parts["n_tokens"] is None else NeuronTotals(**parts),
                    None if types["n_tokens"] is None else TypeCounts(**types),
                    _saved_peaks(file),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        n_done = found.n_documents + int(found.done.sum())
        logger.info(f"going on after {n_done} documents that an earlier job finished")
        return found


def to_units(*sums: np.ndarray) -> list[np.ndarray]:
    """Sums in float64 as whole multiples of ``UNIT``, int64."""
    return [np.round(values / UNIT).astype(np.int64) for values in sums]


def _saved_peaks(file: Any) -> Peaks | None:
    if "peaks_n_random" not in file.files:
        return None
    arrays = {name.removeprefix("peaks_"): file[name] for name in file.files if name.startswith("peaks_")}
    return Peaks.from_arrays(arrays, int(arrays.pop("n_random")))


def recording_key(corpus: Documents, document_idx: np.ndarray, *parts: Any) -> str:
    """Digest of all that decides the counts: documents, and anything with a faithful ``repr`` or bytes."""
    digest = hashlib.sha256(documents_digest(corpus, document_idx).encode())
    digest.update(np.ascontiguousarray(document_idx, dtype="<i8").tobytes())
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else f";{part!r}".encode())
    return digest.hexdigest()
