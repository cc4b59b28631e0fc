"""Planted domains: how often tests at 5 % reject where text differs, not languages, and what they find.

Every language has one corpus per domain, whose topics move its frequencies; it has a part of its own and, in
some scenarios, one of its genus. Topics are drawn for each language and domain, for all languages of a genus
together, for a whole domain, as in parallel text, or for each language and for the whole. For one corpus, all
corpora pooled, and the domain as a random effect (``--studies`` simulated studies of each scenario):

- size: how often a 95 % interval of a contrast leaves out its true value over all domains there could be;
- power: how often it leaves out the value of no difference, where a genus is planted;
- groups: how often languages of one genus are found nearer to each other at 5 % (permutation of labels).

    python benchmarks/domains.py                      # benchmarks/results/power_domains.csv
    python benchmarks/domains.py confirm              # other seeds and sizes: power_domains_confirm.csv
    python benchmarks/domains.py together             # both kinds of topics: power_domains_together.csv

Chunks that are done are kept: a second call goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from chunks import Scenario, Tally, scenario_rng, simulate
from planted_claims import (
    CODES,
    CONTRASTS,
    GENERA,
    Truth,
    claims_of,
    contrasts_of,
    draw_counts,
    outside,
    replicate,
)

from babelscope.evidence.corpora import over_domains
from babelscope.evidence.domains import draw_domains, interactions
from babelscope.evidence.draws import AnyDraws, draw
from babelscope.evidence.replicates import corrected_distances
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import Estimate
from babelscope.statistics.permutation import compare_groups

N_REPLICATES = 200
WAYS = ("one corpus, documents", "all corpora pooled, documents", "domain as a random effect")
# standard deviation of log frequency of a language's own part
OWN = 0.25
TOP_K = 24
LEVEL = 0.05
N_PERMUTATIONS = 199
# domains that stand for all that there could be
MANY = 400
# what a scenario is where it does not say otherwise; strengths are standard deviations of log frequency. Some
# have ``common``, too: the strength of topics that all languages of a domain share, beside those of ``of``.
USUAL = {
    "seed": 1, "family": 0.0, "topic": 0.0, "of": "language", "n_domains": 2, "n_topics": 4,
    "n_layers": 4, "n_experts": 64, "n_blocks": 20,
}  # fmt: skip
COLUMNS = (
    *USUAL, "common", "ratio", "ratio_domain", "interval", "question", "studies", *CONTRASTS, "mean",
    "standard_error", "any", "groups",
)  # fmt: skip


def orthogonal(rng: np.random.Generator, n: int, shape: tuple[int, int]) -> np.ndarray:
    """Parts of languages that are exactly as far from each other, float64 (n, *shape), mean square 1."""
    vectors, _ = np.linalg.qr(rng.normal(size=(int(np.prod(shape)), n)))
    return (vectors.T * np.sqrt(np.prod(shape))).reshape(n, *shape)


def plant(rng: np.random.Generator, s: Scenario) -> Callable[[int], np.ndarray]:
    """Languages of one study: a function of how many domains are drawn to the frequencies in each of them.

    Frequencies are float64 (n_domains, n_languages, n_layers, n_experts), their sum is 1.
    """
    shape, n = (s["n_layers"], s["n_experts"]), len(CODES)
    genera = list(dict.fromkeys(GENERA))
    parts = orthogonal(rng, n + len(genera) + s["n_topics"], shape)
    genus = np.array([genera.index(name) for name in GENERA])
    logs = rng.normal(0, 0.5, shape) + OWN * parts[:n] + s["family"] * parts[n:][genus]
    topics = parts[n + len(genera) :]
    # whose topics are drawn together
    whose = {"language": np.arange(n), "genus": genus, "domain": np.zeros(n, dtype=np.int64)}[s["of"]]

    def in_domains(n_domains: int) -> np.ndarray:
        mixture = s["topic"] * rng.normal(size=(n_domains, n, s["n_topics"]))[:, whose]
        if "common" in s:
            mixture = mixture + s["common"] * rng.normal(size=(n_domains, 1, s["n_topics"]))
        weights = np.exp(logs + np.tensordot(mixture, topics, 1))
        return weights / weights.sum(axis=(2, 3), keepdims=True)

    return in_domains


def draw_corpora(rng: np.random.Generator, s: Scenario) -> tuple[list[list[ActivationCounts]], np.ndarray]:
    """Counts by domain and language, and the true frequencies over all domains there could be."""
    in_domains = plant(rng, s)
    frequency, over_all = in_domains(s["n_domains"]), in_domains(MANY)
    counts = [
        draw_counts(rng, one, n_blocks=s["n_blocks"], tokens_per_block=20_000 // s["n_blocks"], top_k=TOP_K)
        for one in frequency
    ]
    return counts, TOP_K * over_all.mean(axis=0)


def planted_ratios(s: Scenario, n_studies: int = 10) -> dict[str, float]:
    """How far topics move languages: distances that they lay between two corpora, over that of languages.

    ``ratio`` is of what a domain does to one language, ``ratio_domain`` of what it does to all: components
    of ``variance_components.csv``.
    """
    rng = scenario_rng(s, s["seed"], MANY)
    found = []
    for _ in range(n_studies):
        over_all = plant(rng, s)(MANY)
        of_both = (interactions(over_all) ** 2).sum() / (MANY - 1) / len(CODES)
        of_domain = over_all.mean(axis=1).var(axis=0, ddof=1).sum() - of_both / len(CODES)
        of_language = over_all.mean(axis=0).var(axis=0, ddof=1).sum()
        found.append(np.sqrt(np.maximum([of_both, of_domain], 0) / of_language))
    return dict(zip(("ratio", "ratio_domain"), np.mean(found, axis=0).tolist(), strict=True))


def pooled(corpora: Sequence[Sequence[ActivationCounts]]) -> list[ActivationCounts]:
    """All corpora of a language as one."""
    return [
        ActivationCounts(
            np.concatenate([count.n_active for count in counts]),
            np.concatenate([count.n_tokens for count in counts]),
            counts[0].top_k,
        )
        for counts in zip(*corpora, strict=True)
    ]


def judge(draws: AnyDraws, rng: np.random.Generator) -> tuple[dict[str, Estimate], bool]:
    """Statistics of the claims, and whether languages of one genus are found nearer to each other."""
    replicates = replicate(draws)
    distance = corrected_distances(replicates)["euclidean"]
    found = compare_groups(distance, GENERA, rng, max_exact=0, n_random=N_PERMUTATIONS)
    return claims_of(replicates), found is not None and found.p_value <= LEVEL


def work(s: Scenario, chunk: int, n_studies: int) -> Tally:
    """Sums over studies: of questions ``size`` and ``power`` by way and contrast, and by any contrast."""
    rng = scenario_rng(s, s["seed"], chunk)
    n_ways = len(WAYS) + 1
    missed = {question: np.zeros((n_ways, len(CONTRASTS) + 1)) for question in ("size", "power")}
    groups = np.zeros(n_ways)
    for study in range(n_studies):
        corpora, true = draw_corpora(rng, s)
        values = contrasts_of(judge(Truth(true), rng)[0])
        found = [judge(draw(counts, CODES, N_REPLICATES, study), rng) for counts in corpora]
        alone = [estimates for estimates, _ in found]
        frequency = np.stack([np.stack([count.frequency for count in counts]) for counts in corpora])
        n_tokens = np.array([[count.n_tokens.sum() for count in counts] for counts in corpora])
        draws = draw_domains(frequency, n_tokens, N_REPLICATES, rng)
        together, of_domains = (
            judge(draw(pooled(corpora), CODES, N_REPLICATES, study), rng),
            judge(draws, rng),
        )
        random = over_domains(of_domains[0], alone, draws)
        groups += [found[0][1], together[1], of_domains[1], of_domains[1] and all(one[1] for one in found)]
        for question, value in (("size", values), ("power", CONTRASTS)):
            sides = [outside(one, value) for one in (alone[0], together[0], random)]
            same = np.all([outside(one, value) == sides[2] for one in alone], axis=0)
            table = np.array([*sides, np.where(same, sides[2], 0)]) != 0
            missed[question] += np.column_stack([table, table.any(axis=1)])
    tally = {name: counted.ravel().tolist() for name, counted in missed.items()}
    return {**tally, "groups": groups.tolist()}


def rows_of(s: Scenario, n: int, sums: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows of the table, for one scenario."""
    rows = []
    ratios = planted_ratios(s)
    ways = (*WAYS, "domain as a random effect, and each domain says so")
    for question in ("size", "power") if s["family"] else ("size",):
        rates = sums[question].reshape(len(ways), -1) / n
        for way, rate, groups in zip(ways, rates, sums["groups"] / n, strict=True):
            mean = float(rate[:-1].mean())
            rows.append(
                {
                    "common": 0.0,
                    **s,
                    **ratios,
                    "interval": way,
                    "question": question,
                    "studies": n,
                    **dict(zip(CONTRASTS, rate[:-1].tolist(), strict=True)),
                    "mean": mean,
                    # contrasts of one study hang together: as if there were one of them
                    "standard_error": float(np.sqrt(mean * (1 - mean) / n)),
                    "any": float(rate[-1]),
                    "groups": float(groups),
                }
            )
    return rows


def main_scenarios() -> list[Scenario]:
    """Families, topics and domains, and whose topics they are; the usual ones first."""
    found = [
        {**USUAL, "family": family, "topic": topic, "n_domains": n_domains}
        for n_domains in (2, 4)
        for family in (0.0, 0.25)
        for topic in (0.0, 0.025, 0.05, 0.1, 0.2)
    ]
    found += [
        {**USUAL, "topic": topic, "of": whose} for whose in ("genus", "domain") for topic in (0.05, 0.1)
    ]
    found += [{**USUAL, "family": 0.25, "topic": topic, "of": "domain"} for topic in (0.05, 0.1)]
    return found


def confirming_scenarios() -> list[Scenario]:
    """Other seeds, and one thing changed at a time."""
    changes: list[dict[str, int]] = [
        {"seed": 2}, {"seed": 3}, {"seed": 4}, {"n_topics": 1}, {"n_topics": 16}, {"n_experts": 128},
        {"n_blocks": 60}, {"n_domains": 3}, {"n_domains": 6},
    ]  # fmt: skip
    return [
        {**USUAL, "family": family, "topic": topic, "seed": 2, **change}
        for change in changes
        for topic, family in ((0.05, 0.0), (0.05, 0.25), (0.1, 0.25))
    ]


def scenarios_together() -> list[Scenario]:
    """Topics of each language and of the whole domain at once; first as far as in two real corpora."""
    return [
        {**USUAL, "family": family, "topic": topic, "common": common, "n_domains": n_domains}
        for topic, common in ((0.05, 0.05), (0.05, 0.1), (0.025, 0.1), (0.025, 0.025))
        for n_domains in (2, 4)
        for family in (0.0, 0.25)
    ]


PARTS = {
    "main": ("power_domains", main_scenarios()),
    "confirm": ("power_domains_confirm", confirming_scenarios()),
    "together": ("power_domains_together", scenarios_together()),
}

if __name__ == "__main__":
    simulate(__doc__, work, PARTS, rows_of, COLUMNS)
