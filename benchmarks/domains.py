"""Planted domains: how often intervals of contrasts miss the truth where text differs, not languages.

Every language has one corpus per domain, whose topics move its frequencies; it has a part of its own and, in
some scenarios, one of its genus. Two tables in one: how often a 95 % interval leaves out the true value of
a contrast over all domains (should be 5 %), and how often it leaves out the value of no difference where a
genus is planted (power).

    python benchmarks/domains.py --studies 200

The table is written to benchmarks/results/power_domains.csv.
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
from babelscope.evidence.domains import draw_domains
from babelscope.evidence.draws import AnyDraws, draw
from babelscope.evidence.replicates import MAIN, claim_estimates, replicate_claims, study_settings
from babelscope.files.tables import write_table
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.bootstrap import Estimate

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.unit.simulated_counts import CODES, GENERA, PAPER_LANGUAGES, draw_counts  # noqa: E402

SHAPE = (4, 64)
N_REPLICATES = 200
SETTINGS = {MAIN: study_settings(0.05, [])[MAIN]}
COLUMNS = (
    "languages", "topics", "n_domains", "interval", "misses", "studies", *CONTRASTS, "mean",
)  # fmt: skip
# standard deviations of log frequency: of a language's own part, of a genus, of a topic in one corpus
OWN = 0.25
FAMILIES = (0.0, 0.25)
TOPICS = (0.0, 0.05, 0.1, 0.2)
N_TOPICS = 4
TOP_K = 24


def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Parts of languages that are exactly as far from each other, float64 (n, *SHAPE), mean square 1."""
    vectors, _ = np.linalg.qr(rng.normal(size=(int(np.prod(SHAPE)), n)))
    return (vectors.T * np.sqrt(np.prod(SHAPE))).reshape(n, *SHAPE)


def draw_corpora(
    rng: np.random.Generator, family: float, topic: float, n_domains: int
) -> tuple[list[list[ActivationCounts]], np.ndarray]:
    """Counts by domain and language, and the true frequencies over all domains there could be.

    Parameters
    ----------
    family : strength of the part of a genus. topic : of each of four topics in one corpus, drawn for each
        language and domain.
    """
    genera = list(dict.fromkeys(GENERA))
    parts = orthogonal(rng, len(CODES) + len(genera) + N_TOPICS)
    own, rest = parts[: len(CODES)], parts[len(CODES) :]
    of_genus, topics = rest[: len(genera)], rest[len(genera) :]
    logs = rng.normal(0, 0.5, SHAPE) + OWN * own
    logs = logs + family * of_genus[[genera.index(genus) for genus in GENERA]]

    def truth(n: int) -> np.ndarray:
        mixed = topic * np.tensordot(rng.normal(size=(n, len(CODES), N_TOPICS)), topics, 1)
        weights = np.exp(logs + mixed)
        return weights / weights.sum(axis=(2, 3), keepdims=True)

    found = [
        draw_counts(rng, one, n_blocks=20, tokens_per_block=1000, top_k=TOP_K) for one in truth(n_domains)
    ]
    return found, TOP_K * truth(400).mean(axis=0)


def estimates(draws: AnyDraws) -> dict[str, Estimate]:
    """Statistics of the claims about recordings."""
    return claim_estimates(replicate_claims(draws, PAPER_LANGUAGES, SETTINGS), MAIN)


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


def outside(found: Mapping[str, Estimate], values: Mapping[str, float]) -> list[bool]:
    """Whether each contrast's interval leaves out a value."""
    return [not found[name].low <= values[name] <= found[name].high for name in CONTRASTS]


def run(n_studies: int, n_domains: int, family: float, topic: float) -> list[dict[str, Any]]:
    """Share of studies whose intervals miss the truth, and no difference, by what the interval knows of."""
    rng = np.random.default_rng([int(1000 * family), int(1000 * topic), n_domains])
    ways = ("one corpus, documents", "all corpora pooled, documents", "domain as a random effect")
    missed = np.zeros((2, len(ways), n_studies, len(CONTRASTS)), dtype=bool)
    for study in range(n_studies):
        corpora, true = draw_corpora(rng, family, topic, n_domains)
        values = {name: float(found.value) for name, found in estimates(Truth(true)).items()}
        alone = [estimates(draw(counts, CODES, N_REPLICATES, study)) for counts in corpora]
        frequency = np.stack([np.stack([count.frequency for count in counts]) for counts in corpora])
        n_tokens = np.array([[count.n_tokens.sum() for count in counts] for counts in corpora])
        draws = draw_domains(frequency, n_tokens, N_REPLICATES, rng)
        together = estimates(draw(pooled(corpora), CODES, N_REPLICATES, study))
        for way, found in enumerate((alone[0], together, over_domains(estimates(draws), alone, draws))):
            missed[0, way, study] = outside(found, values)
            missed[1, way, study] = outside(found, CONTRASTS)
    return [
        {
            "languages": f"genus {family:g}",
            "topics": topic,
            "n_domains": n_domains,
            "interval": way,
            "misses": what,
            "studies": n_studies,
            **dict(zip(CONTRASTS, rates.mean(axis=0).tolist(), strict=True)),
            "mean": float(rates.mean()),
        }
        for what, table in zip(("the truth", "no difference"), missed, strict=True)
        for way, rates in zip(ways, table, strict=True)
        if family > 0 or what == "the truth"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=200, help="simulated studies of each scenario")
    parser.add_argument("--domains", type=int, nargs="+", default=[2, 4])
    args = parser.parse_args()
    rows = []
    for n_domains in args.domains:
        for family in FAMILIES:
            for topic in TOPICS:
                rows += run(args.studies, n_domains, family, topic)
                for row in rows[-3 if family == 0 else -6 :]:
                    print({k: v if isinstance(v, str) else round(v, 3) for k, v in row.items()}, flush=True)
    write_table(ROOT / "benchmarks" / "results" / "power_domains.csv", rows, COLUMNS)


if __name__ == "__main__":
    main()
