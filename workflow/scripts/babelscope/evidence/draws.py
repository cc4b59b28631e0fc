"""Bootstrap of recordings over blocks of documents: how much would a number move with other documents?

A block of whole documents is the unit, because tokens of one document are not independent. Every language is
resampled by itself, with a generator of its own, so that adding a language changes no other one's replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from babelscope.files.hdf5 import read_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import LEVEL, Estimate, draw_weights, estimate, estimate_count
from babelscope.study.errors import BabelscopeError

FREQUENCY_INTERVALS = Kind(
    "frequency_intervals",
    "evidence/frequency_intervals.h5",
    "bootstrap_languages",
    ("model",),
    {
        "low": DatasetSpec("float64", ("language", "layer", "expert"), "lower end", low=0, high=1),
        "high": DatasetSpec("float64", ("language", "layer", "expert"), "upper end", low=0, high=1),
        "languages": LANGUAGES,
    },
)
CHUNK_CELLS = 4_000_000  # frequencies held at a time: 32 MB

Statistic = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
Counting = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class AnyDraws(Protocol):
    """Data and replicates of some languages: ``Draws``, or others that draw more than blocks."""

    def observed(self) -> tuple[np.ndarray, np.ndarray]: ...

    def replicates(self) -> Iterator[tuple[np.ndarray, np.ndarray]]: ...


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of some languages.

    Attributes
    ----------
    counts : the recordings of the languages.
    weights : for each language float64 (n_replicates, n_blocks), ``draw_weights``.
    """

    counts: Sequence[ActivationCounts]
    weights: Sequence[np.ndarray]

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies of the data, float64 (1, n_languages, n_layers, n_experts), and tokens."""
        frequency = np.stack([count.frequency for count in self.counts])[None]
        return frequency, np.array([count.n_tokens.sum() for count in self.counts], dtype=np.float64)[None]

    def replicates(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """``resample``."""
        return resample(self)


def language_rng(seed: int, code: str, purpose: str) -> np.random.Generator:
    """A generator that depends on nothing but the seed, the language and the purpose."""
    return np.random.default_rng([seed, *f"{code}\n{purpose}".encode()])


def block_rng(seed: int, code: str, purpose: str, paired: bool) -> np.random.Generator:
    """A generator that draws blocks of a language: of paired recordings the same for all languages."""
    return language_rng(seed, "parallel documents" if paired else code, purpose)


def check_blocks(counts: Sequence[ActivationCounts], codes: Sequence[str], n_least: int = 2) -> None:
    """Refuse languages with too few blocks to tell noise from signal.

    Raises
    ------
    BabelscopeError
        Naming the language, its blocks and the keys of the configuration that make more of them.
    """
    if len(counts) != len(codes):
        raise BabelscopeError(f"{len(counts)} recordings for {len(codes)} languages")
    for code, count in zip(codes, counts, strict=True):
        n_blocks = int((count.n_tokens > 0).sum())
        if n_blocks < n_least:
            raise BabelscopeError(
                f"language {code}: {n_blocks} blocks of documents, error bars need at least {n_least}; raise "
                "corpus.profile_documents or lower recording.documents_per_block"
            )


def draw(counts: Sequence[ActivationCounts], codes: Sequence[str], n_replicates: int, seed: int) -> Draws:
    """Draw blocks of every language; of paired recordings the same blocks in all of them.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """
    check_blocks(counts, codes)
    weights = [
        draw_weights(len(count.n_tokens), n_replicates, block_rng(seed, code, "bootstrap", count.paired))
        for code, count in zip(codes, counts, strict=True)
    ]
    return Draws(counts, weights)


def resample(draws: Draws) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frequencies of the replicates of all languages, in chunks that fit the memory.

    Yields
    ------
    frequency : float64 (n_chunk, n_languages, n_layers, n_experts), in [0, 1].
    n_tokens : float64 (n_chunk, n_languages), tokens that carry the noise of the replicate: those of all
        blocks of a typical draw, as in the data themselves.
    """
    counts, n_replicates = draws.counts, len(draws.weights[0])
    shape = counts[0].n_active.shape[1:]
    step = max(1, CHUNK_CELLS // (len(counts) * int(np.prod(shape))))
    for start in range(0, n_replicates, step):
        rows = slice(start, min(start + step, n_replicates))
        frequency = np.empty((rows.stop - start, len(counts), *shape))
        n_tokens = np.empty(frequency.shape[:2])
        for idx, (count, weight) in enumerate(zip(counts, draws.weights, strict=True)):
            n_tokens[:, idx] = weight[rows] @ count.n_tokens
            n_active = weight[rows] @ count.n_active.reshape(len(count.n_tokens), -1)
            frequency[:, idx] = (n_active / n_tokens[:, idx, None]).reshape(-1, *shape)
        yield frequency, n_tokens


@dataclass(frozen=True)
class Pooled:
    """A statistic where the blocks of all languages are pooled and dealt out, and what languages add to it.

    Attributes
    ----------
    value, low, high : corrected value of the pooled blocks, with its 95 % interval.
    beyond, beyond_low, beyond_high : the study's value less that one, with its 95 % interval.
    """

    value: float
    low: float
    high: float
    beyond: float
    beyond_low: float
    beyond_high: float


@dataclass(frozen=True)
class Replicates:
    """Samples that ``bootstrap`` drew.

    Attributes
    ----------
    values : statistics of the data, by name.
    drawn : the same of the replicates, with ``n_replicates`` in front.
    noisier : means over replicates with once more of the noise, of the counting statistics alone.
    spread : half of the interval that other partitions add, by name; empty where there is one partition.
    partitions : by measure and partition, corrected distances; empty where there is one partition.
    pooled : the same statistics with the blocks of all languages pooled and dealt out, by name.
    """

    values: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]
    noisier: dict[str, np.ndarray]
    spread: dict[str, np.ndarray] = field(default_factory=dict)
    partitions: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    pooled: dict[str, Pooled] = field(default_factory=dict)

    def estimate(self, name: str, lowest: float | None = None, highest: float | None = None) -> Estimate:
        """Estimate of one statistic by the way that suits it, kept within its range."""
        if name in self.noisier:
            found = estimate_count(self.values[name], self.drawn[name], self.noisier[name])
        else:
            found = estimate(self.values[name], self.drawn[name])
        return found.widened(self.spread.get(name, 0.0)).clipped(lowest, highest)


def bootstrap(draws: AnyDraws, statistic: Statistic, counting: Counting | None = None) -> Replicates:
    """Any number of statistics, of the data and of replicates, in one pass.

    Parameters
    ----------
    draws : of all languages.
    statistic : takes ``frequency`` (n_replicates, n_languages, n_layers, n_experts) and ``n_tokens``
        (n_replicates, n_languages), returns arrays by name with the replicates in front.
    counting : the same for statistics that count experts beyond a threshold (``estimate_count``); takes
        ``frequency`` alone.
    """
    frequency, n_tokens = draws.observed()
    count_of: Counting = counting or (lambda _: {})
    values = {**statistic(frequency, n_tokens), **count_of(frequency)}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    noisier: dict[str, list[np.ndarray]] = {}
    for chunk, tokens in draws.replicates():
        for name, array in {**statistic(chunk, tokens), **count_of(chunk)}.items():
            drawn[name].append(array)
        for name, array in count_of(frequency + np.sqrt(2) * (chunk - frequency)).items():
            noisier.setdefault(name, []).append(array)
    return Replicates(
        {name: array[0] for name, array in values.items()},
        {name: np.concatenate(arrays) for name, arrays in drawn.items()},
        {name: np.concatenate(arrays).mean(axis=0) for name, arrays in noisier.items()},
    )


def shuffle_languages(counts: Sequence[ActivationCounts], seed: int) -> list[ActivationCounts]:
    """Pool the blocks of all languages and deal them out at random: languages without a language.

    Whatever the study still finds in these recordings is not about languages. Blocks of paired recordings
    are dealt out among the languages block by block, so that every language keeps the same content.

    Returns
    -------
    As many recordings with as many blocks each as before.
    """
    n_active = np.concatenate([count.n_active for count in counts])
    n_tokens = np.concatenate([count.n_tokens for count in counts])
    rng = np.random.default_rng([seed, len(n_tokens)])
    if all(count.paired for count in counts):
        whose = rng.permuted(np.tile(np.arange(len(counts)), (len(counts[0].n_tokens), 1)), axis=1)
        parts = list(whose.T * len(whose) + np.arange(len(whose)))
    else:
        ends = np.cumsum([len(count.n_tokens) for count in counts])
        parts = np.split(rng.permutation(len(n_tokens)), ends[:-1])
    first = replace(counts[0], gate_weight=None, router_entropy=None)
    return [replace(first, n_active=n_active[part], n_tokens=n_tokens[part]) for part in parts]


def frequency_intervals(draws: Draws, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of every frequency; a frequency has no bias, and its interval stays in [0, 1].

    Returns
    -------
    low, high : float64 (n_languages, n_layers, n_experts).
    """
    tail = (1 - level) / 2
    bounds = []
    for count, weight in zip(draws.counts, draws.weights, strict=True):
        chunks = [frequency[:, 0] for frequency, _ in resample(Draws([count], [weight]))]
        bounds.append(np.quantile(np.concatenate(chunks), [tail, 1 - tail], axis=0))
    # rounding can leave a frequency of 1 a hair above it
    low, high = np.clip(np.stack(bounds, axis=1), 0.0, 1.0)
    return low, high


def read_frequency_intervals(
    path: str | Path, model: str, languages: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read ``frequency_intervals.h5``: low and high ends, float64 as ``frequency.h5``, and language codes."""
    datasets, _ = read_h5(path, FREQUENCY_INTERVALS, model=model, languages=languages and list(languages))
    return datasets["low"], datasets["high"], list(datasets["languages"])
