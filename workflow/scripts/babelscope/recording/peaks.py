"""Where every expert and neuron is largest in the text of one language, and the file ``peaks/{lang}.h5``.

Of each unit the tokens with the largest scores are kept, at most one per document, and its scores at a few
random tokens. The order is total (score, then number of the document), so tables of any parts of the
documents add up to the same table.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind

# A document's number in a key; keys of larger scores are larger, of equal scores those of earlier documents.
LAST_DOCUMENT = 2**31 - 1
_UNITS = {
    "expert": "z-score; of a routed expert the weight that its router gives it",
    "neuron": "activation, of the largest magnitude; not of routed experts",
}


def _datasets() -> dict[str, DatasetSpec]:
    specs: dict[str, DatasetSpec] = {}
    for unit, score in _UNITS.items():
        axes, own = ("best", "layer", unit), {"optional": unit == "neuron"}
        document, position = (
            "document in tokens/{lang}.h5; -1: none",
            "token in the document; -1: BOS or none",
        )
        specs |= {
            f"{unit}_score": DatasetSpec("float32", axes, f"{score}; best first", compressed=False, **own),
            f"{unit}_document": DatasetSpec("int32", axes, document, low=-1, **own),
            f"{unit}_position": DatasetSpec("int32", axes, position, low=-1, **own),
        }
    tokens = ("token",)
    return specs | {
        "token_document": DatasetSpec("int32", tokens, "documents of random tokens", low=0),
        "token_position": DatasetSpec("int32", tokens, "random token in the document", low=0),
        "token_priority": DatasetSpec("int64", tokens, "what decides which tokens are kept", low=0),
        "token_z": DatasetSpec(
            "float32", (*tokens, "layer", "expert"), "z-scores, or weights of routers", compressed=False
        ),
        "token_active": DatasetSpec("bool", (*tokens, "layer", "expert"), "whether the expert is active"),
        "token_activation": DatasetSpec(
            "float32", (*tokens, "layer", "neuron"), "activations", compressed=False, optional=True
        ),
    }


_SAYS = ("model", "language", "experts_sha256", "documents_sha256")
PEAKS = Kind("peaks", "peaks/{lang}.h5", "record_activations", _SAYS, _datasets())
PEAK_SHARD = Kind("peak_shard", "peaks/{lang}/shard_{shard}.h5", "record_activations", _SAYS, _datasets())


@dataclass
class Best:
    """The best tokens of units, in no order.

    Attributes
    ----------
    key : int64 (n_best, ...), magnitude of the score, then the document, see ``documents``; 0: none.
    position : int32 of that shape, token in the document without BOS, which is -1.
    score : float32 of that shape.
    """

    key: np.ndarray
    position: np.ndarray
    score: np.ndarray

    @classmethod
    def empty(cls, *shape: int) -> Best:
        """No token yet."""
        none = np.full(shape, -1, dtype=np.int32)
        return cls(np.zeros(shape, dtype=np.int64), none, np.zeros(shape, dtype=np.float32))

    @property
    def documents(self) -> np.ndarray:
        """Document of each token, int32; -1 where there is none."""
        return np.where(self.key > 0, LAST_DOCUMENT - (self.key & LAST_DOCUMENT), -1).astype(np.int32)

    def merged(self, other: Best) -> Best:
        """As many of the tokens of both."""
        if not self.key.any():
            return other
        n_best = len(self.key)
        key = np.concatenate([self.key, other.key])
        rows = np.argpartition(-key, n_best - 1, axis=0)[:n_best]
        return self._pick(other, rows)

    def ordered(self) -> Best:
        """Best first."""
        return self._pick(None, np.argsort(-self.key, axis=0, kind="stable"))

    def _pick(self, other: Best | None, rows: np.ndarray) -> Best:
        picked = []
        for name in ("key", "position", "score"):
            parts = [getattr(table, name) for table in (self, other) if table is not None]
            picked.append(np.take_along_axis(np.concatenate(parts), rows, axis=0))
        return Best(*picked)


@dataclass
class Sample:
    """All scores at random tokens.

    Attributes
    ----------
    document, position : int32 (n_tokens,). priority : int64 (n_tokens,); the lowest are kept.
    z, active : float32 and bool (n_tokens, n_layers, n_experts); z-scores, or the weights of routers.
    activation : float32 (n_tokens, n_layers, d_ff); no neuron where experts are routed.
    """

    document: np.ndarray
    position: np.ndarray
    priority: np.ndarray
    z: np.ndarray
    active: np.ndarray
    activation: np.ndarray

    @classmethod
    def empty(cls, n_layers: int, n_experts: int, d_ff: int) -> Sample:
        """No token yet."""
        cells = (0, n_layers, n_experts)
        return cls(
            np.zeros(0, dtype=np.int32),
            np.zeros(0, dtype=np.int32),
            np.zeros(0, dtype=np.int64),
            np.zeros(cells, dtype=np.float32),
            np.zeros(cells, dtype=bool),
            np.zeros((0, n_layers, d_ff), dtype=np.float32),
        )

    def merged(self, other: Sample, n_tokens: int) -> Sample:
        """The tokens of lowest priority of both, lowest first."""
        both = {name: np.concatenate([mine, getattr(other, name)]) for name, mine in vars(self).items()}
        order = np.argsort(both["priority"], kind="stable")[:n_tokens]
        return Sample(**{name: array[order] for name, array in both.items()})


@dataclass
class Peaks:
    """Best tokens of all units, and all scores at random tokens.

    Attributes
    ----------
    expert : (n_best, n_layers, n_experts). neuron : (n_best, n_layers, d_ff); none where experts are routed.
    sample : at most ``n_random`` tokens.
    """

    expert: Best
    neuron: Best
    sample: Sample
    n_random: int

    @classmethod
    def empty(cls, n_best: int, n_random: int, n_layers: int, n_experts: int, d_ff: int) -> Peaks:
        """No document yet."""
        return cls(
            Best.empty(n_best, n_layers, n_experts),
            Best.empty(n_best, n_layers, d_ff),
            Sample.empty(n_layers, n_experts, d_ff),
            n_random,
        )

    def merged(self, other: Peaks) -> Peaks:
        """Those of both; no document may be in both."""
        return replace(
            self,
            expert=self.expert.merged(other.expert),
            neuron=self.neuron.merged(other.neuron),
            sample=self.sample.merged(other.sample, self.n_random),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, for a state that is saved."""
        parts = {"expert": self.expert, "neuron": self.neuron, "token": self.sample}
        return {f"{part}_{name}": array for part, it in parts.items() for name, array in vars(it).items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], n_random: int) -> Peaks:
        """The reverse of ``arrays``."""

        def part(prefix: str) -> dict[str, np.ndarray]:
            return {
                name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)
            }

        return cls(Best(**part("expert_")), Best(**part("neuron_")), Sample(**part("token_")), n_random)


def random_tokens(
    document_idx: np.ndarray, lengths: np.ndarray, n_tokens: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One token each of random documents; which ones depends on their numbers and lengths alone.

    Parameters
    ----------
    document_idx : int64 (n_documents,), numbers in the corpus. lengths : their tokens without BOS.

    Returns
    -------
    Documents, positions, priorities, each int64 with at most ``n_tokens`` values.
    """
    digests = [hashlib.sha256(f"random token {number}".encode()).digest() for number in document_idx.tolist()]
    priority = np.array([int.from_bytes(digest[:7], "big") for digest in digests], dtype=np.int64)
    position = np.array(
        [
            int.from_bytes(digest[8:16], "big") % n
            for digest, n in zip(digests, lengths.tolist(), strict=True)
        ],
        dtype=np.int64,
    )
    rows = np.argsort(priority, kind="stable")[:n_tokens]
    return document_idx[rows].astype(np.int64), position[rows], priority[rows]


def write_peaks(path: str | Path, kind: Kind, peaks: Peaks, **attrs: Any) -> None:
    """Write ``peaks/{lang}.h5`` or one shard of it; ``attrs`` must say what the kind says."""
    datasets: dict[str, np.ndarray] = {}
    for unit, best in (("expert", peaks.expert.ordered()), ("neuron", peaks.neuron.ordered())):
        datasets |= {
            f"{unit}_score": best.score,
            f"{unit}_document": best.documents,
            f"{unit}_position": best.position,
        }
    datasets |= {f"token_{name}": array for name, array in vars(peaks.sample).items()}
    if not peaks.neuron.key.size:  # routers have none
        datasets = {name: array for name, array in datasets.items() if not PEAKS.datasets[name].optional}
    write_h5(path, kind, datasets, n_random=peaks.n_random, **attrs)


def peaks_of(datasets: dict[str, np.ndarray], n_random: int) -> Peaks:
    """From the content of a file."""
    parts = []
    n_best, n_layers, _ = datasets["expert_score"].shape
    for unit in _UNITS:
        if f"{unit}_score" not in datasets:
            parts.append(Best.empty(n_best, n_layers, 0))
            continue
        score, document = datasets[f"{unit}_score"], datasets[f"{unit}_document"]
        key = np.where(document >= 0, make_key(score, document), 0)
        parts.append(Best(key, datasets[f"{unit}_position"], score))
    tokens = {name.removeprefix("token_"): a for name, a in datasets.items() if name.startswith("token_")}
    tokens.setdefault("activation", np.zeros((len(tokens["document"]), n_layers, 0), dtype=np.float32))
    return Peaks(parts[0], parts[1], Sample(**tokens), n_random)


def make_key(score: np.ndarray, document: np.ndarray) -> np.ndarray:
    """What orders tokens, int64: bits of the magnitude of a float32, then the document from behind."""
    bits = np.abs(score).view(np.int32).astype(np.int64)
    return (bits << 31) | (LAST_DOCUMENT - document.astype(np.int64))


def read_peaks(path: str | Path, *, model: str, language: str, **asked: Any) -> Peaks:
    """Read ``peaks/{lang}.h5`` of this model and language, best first.

    Raises
    ------
    BabelscopeError
        Where the file is wrong or not the one asked for.
    """
    datasets, attrs = read_h5(path, PEAKS, model=model, language=language, **asked)
    return peaks_of(datasets, int(attrs["n_random"]))
