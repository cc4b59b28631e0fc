"""Do the same experts come out of another score or share of active ones? Of the same groups of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from babelscope.evidence.specificity import ExpertIndex, index_experts, most_specific
from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language

HALVES = "half of the documents, the other half"
IDENTITY_COLUMNS = (
    "variant", "frequency_rank", "high_rank", "high_both", "shared", "shared_main", "shared_both",
    "specific", "specific_main", "specific_both", "most_specific_both",
)  # fmt: skip


@dataclass(frozen=True)
class Identities:
    """Experts of a variant beside those of the main study, which are the same groups of neurons.

    Attributes
    ----------
    variant : what differs.
    frequency_rank : rank correlation of the frequencies of a layer's experts, mean of layers and languages.
    high_rank : rank correlation over languages of the number of high-frequency experts.
    high_both : experts high-frequency in both over those that are in either, mean of languages.
    shared, shared_main, shared_both : experts high-frequency in all languages: in the variant, in the main
        study, in both.
    specific, specific_main, specific_both : the same of experts specific to one language, in both to one.
    most_specific_both : of the main study's most specific experts of each language, the share that is among
        as many most specific ones of the variant, over all languages.
    """

    variant: str
    frequency_rank: float
    high_rank: float
    high_both: float
    shared: int
    shared_main: int
    shared_both: int
    specific: int
    specific_main: int
    specific_both: int
    most_specific_both: float


def compare_identities(
    main: Sequence[ActivationCounts],
    variants: Mapping[str, tuple[Sequence[ActivationCounts], float]],
    languages: Sequence[Language],
    threshold: float,
    n_most: int,
) -> list[Identities]:
    """One row per variant; first, as the most that can be expected, one half of the documents and the other.

    Halves need four blocks of every language, and are left out where there are fewer.

    Parameters
    ----------
    main : recordings of the languages. variants : by name recordings of the same experts, and the threshold
        of a high frequency. threshold : of ``main``. n_most : most specific experts of each language.

    Raises
    ------
    BabelscopeError
        Where a language has too few blocks for error bars.
    """
    whole = index_experts(main, languages, threshold)
    rows = []
    if min(len(count.n_tokens) for count in main) >= 4:
        first, second = ([_take(count, start) for count in main] for start in (0, 1))
        one, two = (index_experts(part, languages, threshold) for part in (first, second))
        rows.append(_compare(HALVES, one, two, (first, second), (threshold, threshold), n_most))
    for name, (counts, scaled) in variants.items():
        index = index_experts(counts, languages, scaled)
        rows.append(_compare(name, whole, index, (main, counts), (threshold, scaled), n_most))
    return rows


def _take(count: ActivationCounts, start: int) -> ActivationCounts:
    """Every other block."""
    kept = slice(start, None, 2)
    plain = replace(count, gate_weight=None, router_entropy=None)
    return replace(plain, n_active=count.n_active[kept], n_tokens=count.n_tokens[kept])


def _compare(
    name: str,
    main: ExpertIndex,
    other: ExpertIndex,
    counts: tuple[Sequence[ActivationCounts], Sequence[ActivationCounts]],
    thresholds: tuple[float, float],
    n_most: int,
) -> Identities:
    ranks = [
        spearmanr(a, b).statistic
        for one, two in zip(*counts, strict=True)
        for a, b in zip(one.frequency, two.frequency, strict=True)
    ]
    high = [index.frequency >= limit for index, limit in zip((main, other), thresholds, strict=True)]
    either = np.maximum((high[0] | high[1]).sum(axis=0), 1)
    shared = [np.array(index.kind) == "shared" for index in (main, other)]
    specific = [np.array(index.kind) == "specific" for index in (main, other)]
    same = specific[0] & specific[1] & (np.array(main.group) == np.array(other.group))
    most = [
        [set(most_specific(index, idx, n_most).tolist()) for idx in range(main.frequency.shape[1])]
        for index in (main, other)
    ]
    kept = sum(len(a & b) for a, b in zip(*most, strict=True))
    return Identities(
        variant=name,
        frequency_rank=float(np.nanmean(ranks)),
        high_rank=float(spearmanr(high[0].sum(axis=0), high[1].sum(axis=0)).statistic),
        high_both=float(((high[0] & high[1]).sum(axis=0) / either).mean()),
        shared=int(shared[1].sum()),
        shared_main=int(shared[0].sum()),
        shared_both=int((shared[0] & shared[1]).sum()),
        specific=int(specific[1].sum()),
        specific_main=int(specific[0].sum()),
        specific_both=int(same.sum()),
        most_specific_both=kept / max(sum(map(len, most[0])), 1),
    )
