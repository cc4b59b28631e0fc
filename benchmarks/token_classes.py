"""Intervals of classes of tokens: how often they hold the value that other tokens of the class would show.

Tokens are drawn with frequencies by Zipf's law, each with something of its own beside what the language does
to all tokens of its class. ``own`` tokens are each language's, ``shared`` ones are the same in all languages
and show the language by ``strength`` as much, ``likeness`` of it in the same direction. True values come from
many tokens. Two intervals at 95 %: the rank correlation of the class's distances with those of all tokens
(``class_similarity.csv``), and contrasts of distances (``class_claims.csv``).

    python benchmarks/token_classes.py --studies 400      # benchmarks/results/coverage_classes.csv
    python benchmarks/token_classes.py confirm            # other scenarios: coverage_classes_confirm.csv

Chunks that are done are kept: a second call goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from chunks import Scenario, Tally, scenario_rng, simulate
from planted_claims import CODES, CONTRASTS, GENERA, Truth, claims_of, contrasts_of, outside, replicate

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.evidence.draws import Replicates
from babelscope.evidence.replicates import corrected_distances
from babelscope.evidence.token_classes import draw_tokens, few_tokens, rank_correlation, similarity_rows
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.token_types import TokenTypes

N_REPLICATES = 100
SHAPE, TOP_K = (4, 48), 18
CLASSES = ("own", "shared")
OWN, GENUS = 0.3, 0.2  # standard deviations of log frequency
MANY = 2000
# what a scenario is where it does not say otherwise: the seed, what tokens do by themselves (a standard
# deviation of log frequency), and the exponent of Zipf's law
USUAL = {"seed": 0, "of_token": 0.5, "exponent": 1.0}
COLUMNS = (
    *USUAL, "n_types", "n_tokens", "strength", "likeness", "class", "studies",
    *(f"true_{m}" for m in MEASURES), *(f"correlation_{m}" for m in MEASURES), "contrasts", "standard_error",
)  # fmt: skip


def draw_languages(rng: np.random.Generator) -> np.ndarray:
    """What each language does to its tokens, float64 (n_languages, *SHAPE)."""
    genera = {genus: rng.normal(0, GENUS, SHAPE) for genus in dict.fromkeys(GENERA)}
    return np.stack([genera[genus] + rng.normal(0, OWN, SHAPE) for genus in GENERA])


def rates(logs: np.ndarray) -> np.ndarray:
    """Frequencies, float64 (..., n_layers, n_experts), of log frequencies; their sum is top_k."""
    weights = np.exp(logs)
    return TOP_K * weights / weights.sum(axis=(-2, -1), keepdims=True)


def zipf(n: int, n_tokens: int, exponent: float) -> np.ndarray:
    """How often each of n tokens is seen, int64 (n,), at least once."""
    share = np.arange(1, n + 1) ** -exponent
    return np.maximum(1, np.round(n_tokens * share / share.sum())).astype(np.int64)


def draw_study(rng: np.random.Generator, s: Scenario) -> tuple[list[TokenTypes], dict[str, np.ndarray]]:
    """Counts by token of each language, ``own`` before ``shared`` ones, and the classes' true frequencies."""

    def draw_parts(n: int) -> np.ndarray:
        return rng.normal(0, s["of_token"], (n, *SHAPE))

    common, languages, others = rng.normal(0, 0.5, SHAPE), draw_languages(rng), draw_languages(rng)
    a = s["likeness"]
    part = {"own": languages, "shared": s["strength"] * (a * languages + np.sqrt(1 - a * a) * others)}
    n_tokens = {"own": round(0.7 * s["n_tokens"]), "shared": round(0.3 * s["n_tokens"])}
    n_types = {"own": s["n_types"], "shared": max(8, s["n_types"] // 8)}
    tokens = {name: draw_parts(n_types[name]) for name in CLASSES}
    counts: dict[str, list[ActivationCounts]] = {name: [] for name in CLASSES}
    true, ids = {}, {name: [] for name in CLASSES}
    for name in CLASSES:
        seen = zipf(n_types[name], n_tokens[name], s["exponent"])
        many = draw_parts(MANY)
        true[name] = np.stack([rates(common + one + many).mean(axis=0) for one in part[name]])
        for number, one in enumerate(part[name]):
            of_tokens = tokens[name] if name == "shared" else draw_parts(n_types[name])
            ids[name].append(np.arange(n_types[name]) + (0 if name == "shared" else 10_000 * (1 + number)))
            p = rates(common + one + of_tokens)
            n_active = rng.multinomial(TOP_K * seen, p.reshape(len(p), -1) / TOP_K).reshape(p.shape)
            counts[name].append(ActivationCounts(n_active, seen, TOP_K))
    true["all"] = 0.7 * true["own"] + 0.3 * true["shared"]
    types = []
    for number in range(len(CODES)):
        own, shared = (counts[name][number] for name in CLASSES)
        rows = ActivationCounts(
            np.concatenate([own.n_active, shared.n_active]),
            np.concatenate([own.n_tokens, shared.n_tokens]),
            TOP_K,
        )
        token_id = np.concatenate([ids[name][number] for name in CLASSES])
        types.append(TokenTypes(token_id, [""] * len(token_id), rows, rows, np.array([0])))
    return types, true


def distances_of(frequency: np.ndarray) -> dict[str, np.ndarray]:
    """Distances of frequencies without noise, by measure."""
    return as_distances(total_measures(compare_layers(frequency, np.full(len(frequency), 1e12))))


def replicate_classes(
    types: Sequence[TokenTypes], chosen: Sequence[str], study: int
) -> tuple[Replicates, float]:
    """Replicates on some classes, and by how much their intervals are wider."""
    held = [np.isin(np.where(one.token_id < 10_000, "shared", "own"), chosen) for one in types]
    draws = draw_tokens(types, held, N_REPLICATES, study)
    return replicate(draws), few_tokens(draws.counts)


def work(s: Scenario, chunk: int, n_studies: int) -> Tally:
    """Sums over studies, by class: true correlations, and misses of the intervals."""
    rng = scenario_rng(s, s.get("seed", 0), chunk)
    s = USUAL | dict(s)
    tally = {name: np.zeros(2 * len(MEASURES) + len(CONTRASTS)) for name in CLASSES}
    for study in range(n_studies):
        types, true = draw_study(rng, s)
        whole, true_whole = (
            corrected_distances(replicate_classes(types, CLASSES, study)[0]),
            distances_of(true["all"]),
        )
        for name in CLASSES:
            replicates, wider = replicate_classes(types, [name], study)
            of_class = distances_of(true[name])
            values = np.array([rank_correlation(of_class[m], true_whole[m]) for m in MEASURES])
            found = similarity_rows(name, replicates, whole, wider)
            missed = [
                not row["low"] <= value <= row["high"] for row, value in zip(found, values, strict=True)
            ]
            exact = contrasts_of(claims_of(replicate(Truth(true[name]))))
            estimates = claims_of(replicates)
            sides = outside({k: estimates[k].stretched(wider) for k in CONTRASTS}, exact)
            tally[name] += np.concatenate([values, missed, sides != 0])
    return {name: sums.tolist() for name, sums in tally.items()}


def rows_of(s: Scenario, n: int, sums: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows of the table: coverage by class."""
    rows = []
    for name in CLASSES:
        true, missed, contrasts = np.split(sums[name] / n, [len(MEASURES), 2 * len(MEASURES)])
        coverage = float(1 - missed.mean())
        rows.append(
            {
                **USUAL,
                **s,
                "class": name,
                "studies": n,
                **{f"true_{m}": float(v) for m, v in zip(MEASURES, true, strict=True)},
                **{f"correlation_{m}": float(1 - v) for m, v in zip(MEASURES, missed, strict=True)},
                "contrasts": float(1 - contrasts.mean()),
                "standard_error": float(np.sqrt(coverage * (1 - coverage) / n)),
            }
        )
    return rows


def main_scenarios() -> list[Scenario]:
    """Few and more tokens, and how much of the language the shared ones show."""
    return [
        {"n_types": n_types, "n_tokens": n_tokens, "strength": strength, "likeness": likeness}
        for n_types, n_tokens in ((300, 6000), (1000, 12000))
        for strength, likeness in ((1.0, 1.0), (0.5, 1.0), (0.5, 0.7), (0.25, 0.0))
    ]


def confirming_scenarios() -> list[Scenario]:
    """Other seeds and sizes than those that the intervals were chosen by, and one thing changed at a time."""
    changes = [{}, {"of_token": 0.25}, {"of_token": 1.0}, {"exponent": 0.7}]
    return [
        {"seed": 2, "n_types": 600, "n_tokens": 9000, "strength": strength, "likeness": likeness, **change}
        for change in changes
        for strength, likeness in ((0.75, 0.9), (0.5, 0.5), (0.25, 0.0))
    ]


PARTS = {
    "main": ("coverage_classes", main_scenarios()),
    "confirm": ("coverage_classes_confirm", confirming_scenarios()),
}

if __name__ == "__main__":
    simulate(__doc__, work, PARTS, rows_of, COLUMNS)
