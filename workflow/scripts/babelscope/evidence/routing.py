"""How the routers of a mixture of experts spread each language's tokens: the table ``routing.csv``.

Intervals are percentiles over bootstrap samples of blocks of documents. The null of an overlap deals the
blocks of the two languages out at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from babelscope.evidence.draws import check_blocks
from babelscope.evidence.routing_sentences import compare_routing_of_sentences
from babelscope.evidence.specificity import DEAD_FREQUENCY, language_entropy
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import LEVEL
from babelscope.study.errors import require

ROUTING_COLUMNS = (
    "layer", "language", "other", "statistic", "value", "low", "high", "null", "p_value",
)  # fmt: skip
# Experts of a layer that count as a language's own in overlaps: its most frequent ones.
SET_SHARE = 0.25
MEANINGS: Mapping[str, str] = {
    "router_entropy": "mean over tokens of the entropy of the router's scores, nats",
    "load_entropy": "entropy of the shares of the layer's experts in all choices, nats",
    "used_experts": "exp(load_entropy) as a share of the layer's experts: 1 is perfect balance",
    "largest_load": "share of choices of the most chosen expert, times the number of experts",
    "gate_correlation": "correlation over experts of the share of choices and the share of weights",
    "overlap": "share that two languages have in common of their most frequent experts, a quarter of a layer",
    "common_choices": "sum over experts of the smaller of two languages' shares of choices; 1: no difference",
    "translations": "common_choices of a sentence and its translation, mean over sentences (parallel text)",
    "shared_experts": "experts that are high-frequency in all languages",
    "specific_experts": "experts that are high-frequency in exactly one language",
    "dead_experts": f"experts chosen for less than {DEAD_FREQUENCY:g} of the tokens of every language",
}
SUMMARY_COLUMNS = (
    "model", "layer", "languages_apart", "pairs_apart", "translations_alike", *MEANINGS
)  # fmt: skip


@dataclass(frozen=True)
class RoutingSettings:
    """How the table is made.

    Attributes
    ----------
    threshold : frequency from which an expert is high-frequency.
    n_replicates : bootstrap samples, and random deals of a null.
    seed : of both.
    """

    threshold: float
    n_replicates: int
    seed: int


def tabulate_routing(
    counts: Sequence[ActivationCounts],
    codes: Sequence[str],
    settings: RoutingSettings,
    sentences: Mapping[str, ActivationCounts] | None = None,
) -> list[dict[str, Any]]:
    """Rows of ``routing.csv``.

    Parameters
    ----------
    counts : of routers, layers with experts alone; one per language, with at least two blocks.
    codes : their languages.
    sentences : by language, parallel documents of all of them, one per block; None: text is not parallel.

    Returns
    -------
    Rows with ``ROUTING_COLUMNS``: every statistic of ``MEANINGS`` for each layer of the model that has a
    router, and for each language, pair of languages, or all. ``null`` and ``p_value`` belong to those that
    compare languages: the mean where the blocks of both are dealt out at random, and how often a deal is as
    small as what was found (small: they use different experts); for ``translations`` those of
    ``compare_routing_of_sentences``. The p values are of single layers and pairs, not adjusted; that of sets
    of experts is conservative.

    Raises
    ------
    BabelscopeError
        Where experts are groups of neurons, or a language has fewer than two blocks.
    """
    require(bool(counts[0].n_experts_by_layer), "routing.csv needs experts.method: router")
    check_blocks(counts, codes)
    rng = np.random.default_rng([settings.seed, 24])
    layers, sizes = counts[0].layers, [n for n in counts[0].n_experts_by_layer if n]
    resampled = [_resampled(count, settings.n_replicates, rng) for count in counts]
    rows = [
        {"layer": layers[at], "language": code, "statistic": name, **_interval(values[:, at])}
        for count, code, drawn in zip(counts, codes, resampled, strict=True)
        for name, values in _of_language(count, drawn, sizes).items()
        for at in range(len(layers))
    ]
    rows += [
        {"layer": layers[at], "language": codes[a], "other": codes[b], **found}
        for a, b in combinations(range(len(codes)), 2)
        for at, found in _overlaps(counts[a], counts[b], resampled[a], resampled[b], sizes, rng)
    ]
    if sentences is not None:
        rows += compare_routing_of_sentences(sentences, settings.n_replicates, settings.seed)
    frequency = np.stack([drawn.n_active / drawn.n_tokens[:, None, None] for drawn in resampled])
    for name, values in _of_experts(frequency, sizes, settings.threshold).items():
        rows += [
            {"layer": layers[at], "language": "all", "statistic": name, **_interval(values[:, at])}
            for at in range(len(layers))
        ]
    empty = dict.fromkeys(ROUTING_COLUMNS)
    return [empty | {**row, "layer": int(row["layer"])} for row in rows]


@dataclass(frozen=True)
class _Drawn:
    """Sums over the blocks of a language: as they are in row 0, over bootstrap samples in the others."""

    n_active: np.ndarray  # (replicate, layer, expert)
    n_tokens: np.ndarray  # (replicate,)
    weights: np.ndarray  # (replicate, block)


def _resampled(count: ActivationCounts, n_replicates: int, rng: np.random.Generator) -> _Drawn:
    filled = np.flatnonzero(count.n_tokens > 0)
    weights = np.zeros((n_replicates + 1, len(count.n_tokens)))
    weights[0, filled] = 1
    weights[1:, filled] = rng.multinomial(len(filled), np.full(len(filled), 1 / len(filled)), n_replicates)
    return _Drawn(_sums(weights, count.n_active), weights @ count.n_tokens, weights)


def _sums(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.tensordot(weights, values.astype(np.float64), axes=1)


def _of_language(count: ActivationCounts, drawn: _Drawn, sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """Statistics of one language, (replicate, layer) each."""
    size = np.array(sizes, dtype=np.float64)
    share = drawn.n_active / drawn.n_active.sum(axis=2, keepdims=True)
    load_entropy = language_entropy(share)
    found = {
        "load_entropy": load_entropy,
        "used_experts": np.exp(load_entropy) / size,
        "largest_load": share.max(axis=2) * size,
    }
    if count.router_entropy is not None:
        found["router_entropy"] = _sums(drawn.weights, count.router_entropy) / drawn.n_tokens[:, None]
    if count.gate_weight is not None:
        gates = _sums(drawn.weights, count.gate_weight)
        gate_share = gates / gates.sum(axis=2, keepdims=True)
        pairs = [_correlation(share[:, at, :n], gate_share[:, at, :n]) for at, n in enumerate(sizes)]
        found["gate_correlation"] = np.stack(pairs, axis=1)
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation over the last axis; NaN where one of both is constant."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (a, b))
    product = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.divide((a * b).sum(axis=-1), product, out=np.full(len(a), np.nan), where=product > 0)


def _overlaps(
    first: ActivationCounts,
    second: ActivationCounts,
    drawn_first: _Drawn,
    drawn_second: _Drawn,
    sizes: Sequence[int],
    rng: np.random.Generator,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Overlaps of two languages in every layer, with interval, null and p value."""
    pooled = np.concatenate([first.n_active, second.n_active])
    filled = np.concatenate([first.n_tokens, second.n_tokens]) > 0
    n_first = int((first.n_tokens > 0).sum())
    # columns of blocks without tokens are dealt too, and add nothing
    n_deals = len(drawn_first.n_tokens) - 1
    order = np.argsort(np.where(filled, rng.random((n_deals, len(filled))), 2.0), axis=1)
    dealt = np.zeros((n_deals, len(filled)))
    np.put_along_axis(dealt, order[:, :n_first], 1.0, axis=1)
    halves = _sums(dealt, pooled), _sums(1 - dealt, pooled)
    for at, n in enumerate(sizes):
        for name, measure in (("overlap", overlap), ("common_choices", common_choices)):
            drawn = measure(drawn_first.n_active[:, at, :n], drawn_second.n_active[:, at, :n])
            null = measure(halves[0][:, at, :n], halves[1][:, at, :n])
            p_value = (1 + int((null <= drawn[0]).sum())) / (1 + len(null))
            tested = {"null": float(null.mean()), "p_value": p_value}
            yield at, {"statistic": name, **_interval(drawn), **tested}


def common_choices(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum over the experts, the last axis, of the smaller of two shares of choices, in [0, 1]."""
    shares = (values / values.sum(axis=-1, keepdims=True) for values in (first, second))
    return np.minimum(*shares).sum(axis=-1)


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share that two languages have in common of their most frequent experts.

    Parameters
    ----------
    first, second : (..., n_experts), how often each expert is chosen; ties go to the lower expert.

    Returns
    -------
    float64 (...), in [0, 1]; a set has ``SET_SHARE`` of the experts, at least one.
    """
    n_set = max(1, round(SET_SHARE * first.shape[-1]))
    tops = []
    for values in (first, second):
        top = np.zeros(values.shape, dtype=bool)
        np.put_along_axis(top, np.argsort(-values, axis=-1, kind="stable")[..., :n_set], True, axis=-1)
        tops.append(top)
    return (tops[0] & tops[1]).sum(axis=-1) / n_set


def _of_experts(frequency: np.ndarray, sizes: Sequence[int], threshold: float) -> dict[str, np.ndarray]:
    """Numbers of experts by class, (replicate, layer) each; of (language, replicate, layer, expert)."""
    n_high = (frequency >= threshold).sum(axis=0)
    exists = np.arange(frequency.shape[-1]) < np.array(sizes)[:, None]
    classes = {
        "shared_experts": n_high == len(frequency),
        "specific_experts": n_high == 1,
        "dead_experts": frequency.max(axis=0) < DEAD_FREQUENCY,
    }
    return {name: (members & exists).sum(axis=-1).astype(np.float64) for name, members in classes.items()}


def _interval(values: np.ndarray) -> dict[str, float]:
    """Value of row 0, and percentiles of the others."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def mean_by_layer(
    rows: Sequence[Mapping[str, Any]], statistic: str, column: str
) -> tuple[np.ndarray, np.ndarray]:
    """Layers that have a statistic, and the mean of a column over its rows of each layer."""
    chosen = [row for row in rows if row["statistic"] == statistic]
    layers = sorted({int(row["layer"]) for row in chosen})
    means = [np.mean([float(row[column]) for row in chosen if int(row["layer"]) == x]) for x in layers]
    return np.array(layers), np.array(means)


def summarise_routing(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of ``results/models/routing.csv``: every statistic by model and layer, the mean over its rows.

    ``languages_apart``: the mean null of ``common_choices`` less its mean value, 0 where languages are routed
    alike; ``pairs_apart``: share of the pairs of languages with a p value of at most 5 %;
    ``translations_alike``: the mean value of ``translations`` less its mean null, NaN without parallel text.

    Parameters
    ----------
    tables : rows of ``routing.csv`` by model.
    """
    summary: list[dict[str, Any]] = []
    for model, rows in tables.items():
        values = {name: mean_by_layer(rows, name, "value") for name in MEANINGS}
        layers, common = values["common_choices"]
        found = {name: dict(zip(*pair, strict=True)) for name, pair in values.items()}
        null = mean_by_layer(rows, "common_choices", "null")[1]
        other_sentences = dict(zip(*mean_by_layer(rows, "translations", "null"), strict=True))
        for at, layer in enumerate(layers):
            pairs = [r for r in rows if r["statistic"] == "common_choices" and int(r["layer"]) == layer]
            sure = np.mean([float(r["p_value"]) <= 1 - LEVEL for r in pairs])
            row = {"model": model, "layer": int(layer), "languages_apart": float(null[at] - common[at])}
            means = {name: float(found[name].get(layer, np.nan)) for name in MEANINGS}
            alike = means["translations"] - other_sentences.get(layer, np.nan)
            summary.append(row | {"pairs_apart": float(sure), "translations_alike": alike} | means)
    return summary
