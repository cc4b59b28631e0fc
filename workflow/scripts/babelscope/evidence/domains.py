"""Several corpora per language: what of a distance is the language, and what is the text that stands for it.

Text of another topic or register moves the frequencies of a language. Part of that is the same in all
languages and cancels where they are compared in the same corpus; the other part, the interaction of language
and domain, does not, and no amount of documents of one corpus shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from babelscope.evidence.draws import CHUNK_CELLS
from babelscope.statistics.bootstrap import LEVEL

VARIANCE_COLUMNS = ("component", "squared", "low", "high", "distance", "share")


def interactions(frequency: np.ndarray) -> np.ndarray:
    """What a domain does to a language and not to the others.

    Parameters
    ----------
    frequency : float64 (n_domains, n_languages, ...), each language in each domain.

    Returns
    -------
    The same shape: without the means of domains and of languages. Their expected square is that of the
    interactions, by the factor for the degrees of freedom that the mean of the languages takes.
    """
    n_languages = frequency.shape[1]
    of_domain = frequency.mean(axis=1, keepdims=True)
    of_language = frequency.mean(axis=0, keepdims=True)
    left = frequency - of_domain - of_language + frequency.mean(axis=(0, 1), keepdims=True)
    return left * np.sqrt(n_languages / (n_languages - 1))


@dataclass(frozen=True)
class DomainDraws:
    """Languages as means over domains, with the domain as a random effect.

    In every replicate each language is moved by its own interactions, each times a normal number (the wild
    bootstrap: Wu 1986, "Jackknife, bootstrap and other resampling methods in regression analysis"); they hold
    the noise of the documents, too. What a domain does to all languages alike is left out: within one corpus
    it cancels.

    Attributes
    ----------
    frequency : float64 (n_domains, n_languages, n_layers, n_experts).
    n_tokens : float64 (n_domains, n_languages).
    weights : float64 (n_replicates, n_domains, n_languages), of the interactions; normal, with the variance
        that makes replicates scatter as means over domains do.
    """

    frequency: np.ndarray
    n_tokens: np.ndarray
    weights: np.ndarray

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Means over domains, float64 (1, n_languages, n_layers, n_experts), and tokens of all of them."""
        return self.frequency.mean(axis=0)[None], self.n_tokens.sum(axis=0)[None]

    def replicates(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frequencies of the replicates in chunks that fit the memory, as ``resample`` yields them."""
        mean, n_tokens = self.observed()
        moved = interactions(self.frequency)
        step = max(1, CHUNK_CELLS // mean.size)
        for start in range(0, len(self.weights), step):
            part = self.weights[start : start + step]
            frequency = mean + np.einsum("rdl,dlxe->rlxe", part, moved)
            yield np.clip(frequency, 0.0, 1.0), np.repeat(n_tokens, len(part), axis=0)


def draw_domains(
    frequency: np.ndarray, n_tokens: np.ndarray, n_replicates: int, rng: np.random.Generator
) -> DomainDraws:
    """Draw domains of every language.

    Parameters
    ----------
    frequency : float64 (n_domains, n_languages, n_layers, n_experts); at least two domains.
    n_tokens : (n_domains, n_languages).
    """
    n_domains, n_languages = frequency.shape[:2]
    drawn = rng.normal(size=(n_replicates, n_domains, n_languages))
    weights = drawn / np.sqrt(n_domains * (n_domains - 1))
    return DomainDraws(frequency, n_tokens.astype(np.float64), weights)


def few_languages(n_languages: int, n_domains: int, level: float = LEVEL) -> float:
    """By how much an interval is wider because its variance is known from few languages and domains.

    Student's t over the normal distribution, with the degrees of freedom of the interactions.
    """
    tail, freedom = 0.5 + level / 2, (n_languages - 1) * (n_domains - 1)
    return float(stdtrit(freedom, tail) / stdtrit(1e9, tail))


def variance_components(
    frequency: np.ndarray, noise: np.ndarray, level: float = LEVEL
) -> list[dict[str, float | str]]:
    """How much of the frequencies' variance is language, domain, their interaction, and documents.

    Sums of squares of a two-way layout without replication (Searle, Casella and McCulloch 1992, "Variance
    components"), summed over layers and experts; the variance between documents comes from the blocks and is
    that of a whole sample. Intervals: jackknife over languages, Student's t.

    Parameters
    ----------
    frequency : float64 (n_domains, n_languages, n_layers, n_experts).
    noise : float64 (n_domains, n_languages), variance of each sample's frequencies over documents, summed.

    Returns
    -------
    Rows of ``variance_components.csv``: ``squared`` is a variance summed over experts, ``distance`` the
    Euclidean distance that it alone would lay between two samples, ``sqrt(2 squared)``; ``share`` of the sum.
    """
    n_languages = frequency.shape[1]
    names = ("language", "domain", "language x domain", "documents")
    whole = _components(frequency, noise)
    without = np.array(
        [
            _components(np.delete(frequency, i, axis=1), np.delete(noise, i, axis=1))
            for i in range(n_languages)
        ]
    )
    spread = np.sqrt((n_languages - 1) / n_languages * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    half = stdtrit(n_languages - 1, 0.5 + level / 2) * spread
    total = np.maximum(whole, 0).sum()
    return [
        {
            "component": name,
            "squared": float(value),
            "low": float(value - width),
            "high": float(value + width),
            "distance": float(np.sqrt(2 * max(value, 0.0))),
            "share": float(max(value, 0.0) / total),
        }
        for name, value, width in zip(names, whole, half, strict=True)
    ]


def _components(frequency: np.ndarray, noise: np.ndarray) -> np.ndarray:
    n_domains, n_languages = frequency.shape[:2]
    grand = frequency.mean(axis=(0, 1))
    of_language = n_domains * ((frequency.mean(axis=0) - grand) ** 2).sum() / (n_languages - 1)
    of_domain = n_languages * ((frequency.mean(axis=1) - grand) ** 2).sum() / (n_domains - 1)
    left = frequency - frequency.mean(axis=0) - frequency.mean(axis=1)[:, None] + grand
    of_both = (left**2).sum() / ((n_domains - 1) * (n_languages - 1))
    documents = noise.mean()
    return np.array(
        [
            (of_language - of_both) / n_domains,
            (of_domain - of_both) / n_languages,
            of_both - documents,
            documents,
        ]
    )


def stack_domains(frequencies: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Frequencies by domain and language as one array, float64 (n_domains, n_languages, ...)."""
    return np.stack([np.stack(list(of_domain)) for of_domain in frequencies])
