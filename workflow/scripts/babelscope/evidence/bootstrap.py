"""Bootstrap over blocks of documents: how much would a number move with other documents?

A block of whole documents is the unit, because tokens of one document are not independent. Every language is
resampled by itself, with a generator of its own, so that adding a language changes no other one's replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.recording.counts import ActivationCounts
from babelscope.study.errors import BabelscopeError

LEVEL = 0.95
_CHUNK_CELLS = 4_000_000  # frequencies held at a time: 32 MB

Statistic = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
Counting = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap interval; all arrays have the statistic's shape.

    Attributes
    ----------
    value : the statistic of the data as they are.
    corrected : ``value`` with the bias of noise taken away to first order. Noise makes any distance between
        two languages too large and any correlation too small.
    low, high : interval at 95 % around ``corrected``.
    """

    value: np.ndarray
    corrected: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def clipped(self, lowest: float | None, highest: float | None) -> Estimate:
        """The same with ``corrected``, ``low`` and ``high`` kept within the statistic's range."""
        parts = (np.clip(part, lowest, highest) for part in (self.corrected, self.low, self.high))
        return Estimate(self.value, *parts)


def language_rng(seed: int, code: str, purpose: str) -> np.random.Generator:
    """A generator that depends on nothing but the seed, the language and the purpose."""
    return np.random.default_rng([seed, *f"{code}\n{purpose}".encode()])


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


def resample(
    counts: Sequence[ActivationCounts], codes: Sequence[str], n_replicates: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw bootstrap replicates of all languages, in chunks that fit the memory.

    One block fewer is drawn than there are: that makes the variance of the replicates an unbiased estimate
    for few blocks too (Rao and Wu 1988, "Resampling inference with complex survey data").

    Yields
    ------
    frequency : float64 (n_chunk, n_languages, n_layers, n_experts), in [0, 1].
    n_tokens : float64 (n_chunk, n_languages), tokens that carry the noise of the replicate: those of all
        blocks of a typical draw, as in the data themselves.
    """
    check_blocks(counts, codes)
    weights = []
    for code, count in zip(codes, counts, strict=True):
        n_blocks = len(count.n_tokens)
        rng = language_rng(seed, code, "bootstrap")
        draws = rng.multinomial(n_blocks - 1, np.full(n_blocks, 1 / n_blocks), size=n_replicates)
        weights.append(draws * (n_blocks / (n_blocks - 1)))
    shape = counts[0].n_active.shape[1:]
    step = max(1, _CHUNK_CELLS // (len(counts) * int(np.prod(shape))))
    for start in range(0, n_replicates, step):
        rows = slice(start, min(start + step, n_replicates))
        frequency = np.empty((rows.stop - start, len(counts), *shape))
        n_tokens = np.empty(frequency.shape[:2])
        for idx, (count, weight) in enumerate(zip(counts, weights, strict=True)):
            n_tokens[:, idx] = weight[rows] @ count.n_tokens
            n_active = weight[rows] @ count.n_active.reshape(len(count.n_tokens), -1)
            frequency[:, idx] = (n_active / n_tokens[:, idx, None]).reshape(-1, *shape)
        yield frequency, n_tokens


@dataclass(frozen=True)
class Replicates:
    """What ``bootstrap`` drew.

    Attributes
    ----------
    values : statistics of the data, by name.
    drawn : the same of the replicates, with ``n_replicates`` in front.
    noisier : means over replicates with once more of the noise, of the counting statistics alone.
    """

    values: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]
    noisier: dict[str, np.ndarray]

    def estimate(self, name: str, lowest: float | None = None, highest: float | None = None) -> Estimate:
        """Estimate of one statistic by the way that suits it, kept within its range."""
        if name in self.noisier:
            found = estimate_count(self.values[name], self.drawn[name], self.noisier[name])
        else:
            found = estimate(self.values[name], self.drawn[name])
        return found.clipped(lowest, highest)


def bootstrap(
    counts: Sequence[ActivationCounts],
    codes: Sequence[str],
    statistic: Statistic,
    n_replicates: int,
    seed: int,
    counting: Counting | None = None,
) -> Replicates:
    """Any number of statistics, of the data and of replicates, in one pass.

    Parameters
    ----------
    counts, codes : the recordings of the languages, and their codes.
    statistic : takes ``frequency`` (n_replicates, n_languages, n_layers, n_experts) and ``n_tokens``
        (n_replicates, n_languages), returns arrays by name with the replicates in front.
    counting : the same for statistics that count experts beyond a threshold (``estimate_count``); takes
        ``frequency`` alone.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """
    frequency = np.stack([count.frequency for count in counts])[None]
    n_tokens = np.array([count.n_tokens.sum() for count in counts], dtype=np.float64)[None]
    count_of: Counting = counting or (lambda _: {})
    values = {**statistic(frequency, n_tokens), **count_of(frequency)}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    noisier: dict[str, list[np.ndarray]] = {}
    for chunk, tokens in resample(counts, codes, n_replicates, seed):
        for name, array in {**statistic(chunk, tokens), **count_of(chunk)}.items():
            drawn[name].append(array)
        for name, array in count_of(frequency + np.sqrt(2) * (chunk - frequency)).items():
            noisier.setdefault(name, []).append(array)
    return Replicates(
        {name: array[0] for name, array in values.items()},
        {name: np.concatenate(arrays) for name, arrays in drawn.items()},
        {name: np.concatenate(arrays).mean(axis=0) for name, arrays in noisier.items()},
    )


def estimate(value: np.ndarray, replicates: np.ndarray, level: float = LEVEL) -> Estimate:
    """Bias-corrected value and basic interval (Davison and Hinkley 1997, "Bootstrap methods", section 5.2).

    Parameters
    ----------
    value : float (...). replicates : float (n_replicates, ...).
    level : coverage, in (0, 1).
    """
    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [1 - tail, tail], axis=0)
    return Estimate(value, 2 * value - replicates.mean(axis=0), 2 * value - low, 2 * value - high)


def estimate_count(
    value: np.ndarray, replicates: np.ndarray, noisier: np.ndarray, level: float = LEVEL
) -> Estimate:
    """Estimate of a number of experts beyond a threshold.

    Such a count is not smooth in the frequencies, and the basic interval misses it: an expert that noise put
    over the threshold is over it in most replicates too. The mean over replicates is smooth. It holds the
    noise of the data and of the resampling, twice that of the data, and the noisier replicates hold three
    times; the line through both is followed back to no noise (simulation extrapolation, Cook and Stefanski
    1994). The spread of the replicates about their mean is laid around that point.

    Parameters
    ----------
    value : float (...). replicates : float (n_replicates, ...).
    noisier : float (...), mean over replicates with once more of the noise.
    level : coverage, in (0, 1).
    """
    tail = (1 - level) / 2
    mean = replicates.mean(axis=0)
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    corrected = 3 * mean - 2 * noisier
    return Estimate(value, corrected, corrected + low - mean, corrected + high - mean)


def frequency_intervals(
    counts: Sequence[ActivationCounts],
    codes: Sequence[str],
    n_replicates: int,
    seed: int,
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of every frequency; a frequency has no bias, and its interval stays in [0, 1].

    Returns
    -------
    low, high : float64 (n_languages, n_layers, n_experts).
    """
    tail = (1 - level) / 2
    bounds = []
    for count, code in zip(counts, codes, strict=True):
        chunks = [frequency[:, 0] for frequency, _ in resample([count], [code], n_replicates, seed)]
        bounds.append(np.quantile(np.concatenate(chunks), [tail, 1 - tail], axis=0))
    # rounding can leave a frequency of 1 a hair above it
    low, high = np.clip(np.stack(bounds, axis=1), 0.0, 1.0)
    return low, high
