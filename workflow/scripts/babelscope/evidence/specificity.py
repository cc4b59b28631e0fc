"""Which experts belong to one language, to one family, to all: entropy, differences, false discoveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control
from scipy.stats import t as student_t

from babelscope.evidence.draws import check_blocks
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import LEVEL
from babelscope.statistics.ratios import welch
from babelscope.study.languages import Language

FALSE_DISCOVERY_RATE = 0.05
# A dead expert is active for fewer than one token in a thousand, a fiftieth of the paper's threshold.
DEAD_FREQUENCY = 0.001
CLASSES = ("shared", "mixed", "family-specific", "specific", "low", "dead")


@dataclass(frozen=True)
class ExpertIndex:
    """All experts of a model, layer after layer; every array has n_layers * n_experts rows.

    Attributes
    ----------
    layer, expert : int64.
    frequency : float64 (n, n_languages), in [0, 1].
    entropy : float64, of the frequencies as shares of their sum over languages, in nats, 0 (one language
        alone) to log n_languages; NaN for an expert that is never active. The score of LAPE (Tang et al.
        2024, "Language-Specific Neurons"), which takes it of neurons.
    top, next : int64, languages with the highest and the second highest frequency.
    difference, low, high : float64, frequency of ``top`` less that of ``next``, with a 95 % interval (Welch).
    p_value : float64, two-sided, that ``top`` is above *every* other language: the largest of the pairwise p
        values (Berger 1982, intersection-union). Two-sided, because ``top`` was chosen by the same data
        (Gutmann and Maymin 1987, "Is the selected population the best?").
    q_value : float64, p value that controls the false discovery rate over all experts (Benjamini and
        Hochberg).
    n_languages_high : int64, languages whose frequency reaches the threshold.
    gap_q_value : float64, the same test for the languages that reach the threshold against those that do not;
        1 where all or none reach it.
    group_above : genus or family (of two languages or more) whose languages are all above all others, the one
        with the smallest p value of that test; empty where there is none. It needs no threshold: an expert of
        one family that all languages use is ``shared`` or ``mixed`` by its class.
    group_q_value : p value of that test (as ``p_value``) that controls the false discovery rate.
    kind : one of ``CLASSES`` for each expert. ``shared``: high-frequency in all languages. ``specific``: in
        one, and above the others at a false discovery rate of 5 %. ``family-specific``: in two or more, all
        of one genus, or exactly the languages of one family, and above the others at that rate. ``low``: in
        none. ``dead``: below ``DEAD_FREQUENCY`` in all. ``mixed``: what is left.
    group : the language (code), genus or family of specific and family-specific experts, else empty.
    """

    layer: np.ndarray
    expert: np.ndarray
    frequency: np.ndarray
    entropy: np.ndarray
    top: np.ndarray
    next: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    n_languages_high: np.ndarray
    gap_q_value: np.ndarray
    group_above: tuple[str, ...]
    group_q_value: np.ndarray
    kind: tuple[str, ...]
    group: tuple[str, ...]


def index_experts(
    counts: Sequence[ActivationCounts], languages: Sequence[Language], threshold: float
) -> ExpertIndex:
    """Describe and classify every expert.

    Raises
    ------
    BabelscopeError
        Where a language has fewer than two blocks.
    """
    check_blocks(counts, [row.code for row in languages])
    n_experts = counts[0].n_active.shape[2]
    frequency = np.stack([count.frequency.ravel() for count in counts])  # (language, expert of any layer)
    variance = np.stack([frequency_variance(count).ravel() for count in counts])
    freedom = np.array([(count.n_tokens > 0).sum() - 1 for count in counts])
    order = np.argsort(-frequency, axis=0, kind="stable")
    top, following = order[0], order[1]
    others = np.ones_like(frequency, dtype=bool)
    np.put_along_axis(others, top[None], False, axis=0)
    p_value = _separation(frequency, variance, freedom, ~others, others)
    high_set = frequency >= threshold
    gap_p = _separation(frequency, variance, freedom, high_set, ~high_set)
    gap_q = np.ones_like(gap_p)
    split = high_set.any(axis=0) & ~high_set.all(axis=0)
    if split.any():
        gap_q[split] = false_discovery_control(gap_p[split])
    group_above, group_q = _find_groups(frequency, variance, freedom, languages)
    columns = np.arange(frequency.shape[1])
    difference = frequency[top, columns] - frequency[following, columns]
    standard_error, df = welch(
        variance[top, columns], variance[following, columns], freedom[top], freedom[following]
    )
    half_width = student_t.ppf(0.5 + LEVEL / 2, df) * standard_error
    kind, group = _classify(frequency, high_set, gap_q, languages)
    return ExpertIndex(
        layer=counts[0].layers[columns // n_experts],
        expert=columns % n_experts,
        frequency=frequency.T,
        entropy=language_entropy(frequency.T),
        top=top,
        next=following,
        difference=difference,
        low=difference - half_width,
        high=difference + half_width,
        p_value=p_value,
        q_value=false_discovery_control(p_value),
        n_languages_high=high_set.sum(axis=0),
        gap_q_value=gap_q,
        group_above=group_above,
        group_q_value=group_q,
        kind=kind,
        group=group,
    )


def index_all(
    recordings: Mapping[str, Sequence[ActivationCounts]], languages: Sequence[Language], threshold: float
) -> dict[str, ExpertIndex]:
    """``index_experts`` of several partitions by name; raises as that does."""
    return {name: index_experts(counts, languages, threshold) for name, counts in recordings.items()}


def language_entropy(frequency: np.ndarray) -> np.ndarray:
    """Entropy over the last axis of the values as shares of their sum, in nats; NaN for rows of zeros."""
    total = frequency.sum(axis=-1)
    plogp = np.einsum("...a,...a->...", frequency, np.log(np.where(frequency > 0, frequency, 1.0)))
    safe = np.where(total > 0, total, 1.0)
    return np.where(total > 0, np.maximum(np.log(safe) - plogp / safe, 0.0), np.nan)


def frequency_variance(count: ActivationCounts) -> np.ndarray:
    """Sampling variance of a language's frequencies, float64 (n_layers, n_experts).

    Linearised ratio estimator with blocks of documents as clusters (Cochran 1977, "Sampling techniques",
    6.3).
    """
    filled = count.n_tokens > 0
    n_active, n_tokens = count.n_active[filled], count.n_tokens[filled]
    residual = n_active - count.frequency * n_tokens[:, None, None]
    n_blocks = len(n_tokens)
    return n_blocks / (n_blocks - 1) * (residual**2).sum(axis=0) / n_tokens.sum() ** 2


def most_specific(index: ExpertIndex, language_idx: int, n_most: int) -> np.ndarray:
    """Rows of the experts in which one language is furthest above the next, most specific first.

    Only experts in which it is above every other language at a false discovery rate of 5 % are named; they
    are ordered by the lower end of the interval of the difference.
    """
    own = np.flatnonzero((index.top == language_idx) & (index.q_value <= FALSE_DISCOVERY_RATE))
    return own[np.argsort(-index.low[own], kind="stable")][:n_most]


def _separation(
    frequency: np.ndarray, variance: np.ndarray, freedom: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """Two-sided p value that every language of one set is above every language of another, (n_experts,).

    Parameters
    ----------
    upper, lower : bool (n_languages, n_experts); the p value is 1 where one of them is empty.
    """
    p_value = np.zeros(frequency.shape[1])
    for a in range(len(frequency)):
        for b in range(len(frequency)):
            rows = np.flatnonzero(upper[a] & lower[b])
            if a == b or len(rows) == 0:
                continue
            difference = frequency[a, rows] - frequency[b, rows]
            error, df = welch(variance[a, rows], variance[b, rows], freedom[a], freedom[b])
            # an expert that every block uses in one language and none in another has no sampling error
            without_error = np.where(difference > 0, np.inf, 0.0)
            t_value = np.divide(difference, error, out=without_error, where=error > 0)
            p_value[rows] = np.maximum(p_value[rows], 2 * student_t.sf(t_value, df))
    return np.where(upper.any(axis=0) & lower.any(axis=0), np.minimum(p_value, 1.0), 1.0)


def _find_groups(
    frequency: np.ndarray, variance: np.ndarray, freedom: np.ndarray, languages: Sequence[Language]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The group above all other languages, and its q value, of every expert."""
    groups = _families(languages)
    if not groups:
        return ("",) * frequency.shape[1], np.ones(frequency.shape[1])
    p_values = []
    for _, members in groups:
        inside = np.isin(np.arange(len(languages)), members)[:, None] & np.ones(frequency.shape, dtype=bool)
        p_values.append(_separation(frequency, variance, freedom, inside, ~inside))
    least = np.min(p_values, axis=0)
    names = np.array([name for name, _ in groups], dtype=object)[np.argmin(p_values, axis=0)]
    return tuple(np.where(least < 1, names, "")), false_discovery_control(least)


def _classify(
    frequency: np.ndarray, high: np.ndarray, gap_q: np.ndarray, languages: Sequence[Language]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    n_high = high.sum(axis=0)
    kind = np.full(len(n_high), "mixed", dtype=object)
    group = np.full(len(n_high), "", dtype=object)
    surely = gap_q <= FALSE_DISCOVERY_RATE
    for name, members in _families(languages):
        inside = np.isin(np.arange(len(languages)), members)
        exactly = name in {row.family for row in languages}
        as_group = (high == inside[:, None]).all(axis=0) if exactly else ~high[~inside].any(axis=0)
        chosen = as_group & (n_high >= 2) & surely
        kind[chosen], group[chosen] = "family-specific", name
    single = (n_high == 1) & surely
    kind[single] = "specific"
    group[single] = np.array([row.code for row in languages], dtype=object)[high[:, single].argmax(axis=0)]
    kind[n_high == len(languages)] = "shared"
    kind[n_high == 0] = "low"
    kind[frequency.max(axis=0) < DEAD_FREQUENCY] = "dead"
    group[~np.isin(kind.astype(str), ["specific", "family-specific"])] = ""
    return tuple(kind), tuple(group)


def _families(languages: Sequence[Language]) -> list[tuple[str, list[int]]]:
    """Families, then genera, with two or more of the languages but not all; a genus overrules its family."""
    groups: dict[tuple[str, str], list[int]] = {}
    for idx, row in enumerate(languages):
        groups.setdefault((row.family, ""), []).append(idx)
        groups.setdefault((row.family, row.genus), []).append(idx)
    named = sorted(groups.items(), key=lambda item: item[0][1] != "")
    return [
        (genus or family, members) for (family, genus), members in named if 2 <= len(members) < len(languages)
    ]
