"""Planted domains: how often tests at 5 % reject where text differs, not languages, and what they find.

Every language has one corpus per domain, whose topics move its frequencies; it has a part of its own and, in
some scenarios, one of its genus. Topics are drawn for each language and domain, for all languages of a genus
together, or for a whole domain, as in parallel text. For one corpus, all corpora pooled, and the domain as a
random effect (``--studies`` simulated studies of each scenario):

- size: how often a 95 % interval of a contrast leaves out its true value over all domains there could be;
- power: how often it leaves out the value of no difference, where a genus is planted;
- groups: how often languages of one genus are found nearer to each other at 5 % (permutation of labels).

    python benchmarks/domains.py                      # benchmarks/results/power_domains.csv
    python benchmarks/domains.py confirm              # other seeds and sizes: power_domains_confirm.csv

Chunks that are done are kept: a second call goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.evidence.claim_statistics import CONTRASTS
from babelscope.evidence.corpora import over_domains
from babelscope.evidence.domains import draw_domains, interactions
from babelscope.evidence.draws import AnyDraws, draw
from babelscope.evidence.replicates import (
    MAIN,
    claim_estimates,
    corrected_distances,
    replicate_claims,
    study_settings,
)
from babelscope.files.tables import write_table
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import Estimate
from babelscope.statistics.permutation import compare_groups

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from chunks import Scenario, Tally, add_arguments, run_chunks, scenario_rng  # noqa: E402
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts  # noqa: E402

N_REPLICATES = 200
SETTINGS = {MAIN: study_settings(0.05, [])[MAIN]}
WAYS = ("one corpus, documents", "all corpora pooled, documents", "domain as a random effect")
# standard deviation of log frequency of a language's own part
OWN = 0.25
TOP_K = 24
LEVEL = 0.05
N_PERMUTATIONS = 199
# what a scenario is where it does not say otherwise; strengths are standard deviations of log frequency
USUAL = {
    "seed": 1, "family": 0.0, "topic": 0.0, "of": "language", "n_domains": 2, "n_topics": 4,
    "n_layers": 4, "n_experts": 64, "n_blocks": 20,
}  # fmt: skip
SCENARIO_COLUMNS = tuple(USUAL)
COLUMNS = (
    *SCENARIO_COLUMNS, "ratio", "interval", "question", "studies", *CONTRASTS, "mean", "standard_error",
    "any", "groups",
)  # fmt: skip


def orthogonal(rng: np.random.Generator, n: int, shape: tuple[int, int]) -> np.ndarray:
    """Parts of languages that are exactly as far from each other, float64 (n, *shape), mean square 1."""
    vectors, _ = np.linalg.qr(rng.normal(size=(int(np.prod(shape)), n)))
    return (vectors.T * np.sqrt(np.prod(shape))).reshape(n, *shape)


def draw_corpora(
    rng: np.random.Generator, s: Scenario
) -> tuple[list[list[ActivationCounts]], np.ndarray, float]:
    """Counts by domain and language, the true frequencies over all domains there could be, and a ratio.

    The ratio is that of the interactions to the languages: of the distances that each of them alone would
    lay between two corpora, as ``variance_components.csv`` has them.
    """
    shape, n = (s["n_layers"], s["n_experts"]), len(CODES)
    genera = list(dict.fromkeys(GENERA))
    parts = orthogonal(rng, n + len(genera) + s["n_topics"], shape)
    genus = np.array([genera.index(name) for name in GENERA])
    logs = rng.normal(0, 0.5, shape) + OWN * parts[:n] + s["family"] * parts[n:][genus]
    topics = parts[n + len(genera) :]
    # whose topics are drawn together
    whose = {"language": np.arange(n), "genus": genus, "domain": np.zeros(n, dtype=np.int64)}[s["of"]]

    def truth(n_domains: int) -> np.ndarray:
        mixture = rng.normal(size=(n_domains, n, s["n_topics"]))[:, whose]
        weights = np.exp(logs + s["topic"] * np.tensordot(mixture, topics, 1))
        return weights / weights.sum(axis=(2, 3), keepdims=True)

    frequency, over_all = truth(s["n_domains"]), truth(400)
    mean = over_all.mean(axis=0)
    ratio = np.sqrt((interactions(over_all) ** 2).sum() / 400 / (n * mean.var(axis=0, ddof=1).sum()))
    counts = [
        draw_counts(rng, one, n_blocks=s["n_blocks"], tokens_per_block=20_000 // s["n_blocks"], top_k=TOP_K)
        for one in frequency
    ]
    return counts, TOP_K * mean, float(ratio)


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


class Truth:
    """Frequencies without noise, as draws."""

    def __init__(self, frequency: np.ndarray) -> None:
        self.frequency = frequency[None]

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        return self.frequency, np.full(self.frequency.shape[:2], 1e12)

    def replicates(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield self.observed()


def judge(draws: AnyDraws, rng: np.random.Generator) -> tuple[dict[str, Estimate], bool]:
    """Statistics of the claims, and whether languages of one genus are found nearer to each other."""
    replicates = replicate_claims(draws, PAPER_LANGUAGES, SETTINGS)
    distance = corrected_distances(replicates)["euclidean"]
    found = compare_groups(distance, GENERA, rng, max_exact=0, n_random=N_PERMUTATIONS)
    return claim_estimates(replicates, MAIN), found is not None and found.p_value <= LEVEL


def outside(found: Mapping[str, Estimate], values: Mapping[str, float]) -> np.ndarray:
    """Side of a value on which each contrast's interval lies: 1 above, -1 below, 0 around it."""
    return np.array([int(found[n].low > values[n]) - int(found[n].high < values[n]) for n in CONTRASTS])


def work(s: Scenario, chunk: int, n_studies: int) -> Tally:
    """Sums over studies: of questions ``size`` and ``power`` by way and contrast, and by any contrast."""
    rng = scenario_rng(s, s["seed"], chunk)
    n_ways = len(WAYS) + 1
    missed = {question: np.zeros((n_ways, len(CONTRASTS) + 1)) for question in ("size", "power")}
    groups, ratios = np.zeros(n_ways), 0.0
    for study in range(n_studies):
        corpora, true, ratio = draw_corpora(rng, s)
        ratios += ratio
        values = {name: float(found.value) for name, found in judge(Truth(true), rng)[0].items()}
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
    return {**tally, "groups": groups.tolist(), "ratio": [ratios]}


def rows_of(s: Scenario, n: int, sums: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows of the table, for one scenario."""
    rows = []
    ways = (*WAYS, "domain as a random effect, and each domain says so")
    for question in ("size", "power") if s["family"] else ("size",):
        rates = sums[question].reshape(len(ways), -1) / n
        for way, rate, groups in zip(ways, rates, sums["groups"] / n, strict=True):
            mean = float(rate[:-1].mean())
            rows.append(
                {
                    **s,
                    "ratio": float(sums["ratio"][0] / n),
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["main", "confirm"], nargs="?", default="main")
    results = ROOT / "benchmarks" / "results"
    add_arguments(parser, ROOT / "benchmarks" / "runs" / "power_domains.jsonl")
    args = parser.parse_args()
    scenarios = main_scenarios() if args.part == "main" else confirming_scenarios()
    rows = [row for one in run_chunks(work, scenarios, args) for row in rows_of(*one)]
    name = "power_domains.csv" if args.part == "main" else "power_domains_confirm.csv"
    write_table(results / name, rows, COLUMNS)


if __name__ == "__main__":
    main()
