"""Planted truth for routers: how often is a bent router found, and how often is something found in nothing?

    python benchmarks/planted_routers.py --studies 200

A random model's first router sends some words to two experts. Three languages of 960 tokens draw from
the same words; a share of the last one's tokens are such words. A study finds the truth where the test of
specific experts names both experts for the last language. What it names for the others is false: its share of
all that is named should be at most the false discovery rate of 5 %. With shuffled labels everything is false,
and at most 5 % of the studies should name anything.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "workflow" / "scripts")]

from tests.bent_router import (  # noqa: E402
    LANGUAGES,
    PLANTED,
    bent_model,
    record_languages,
)

from babelscope.evidence.draws import shuffle_languages  # noqa: E402
from babelscope.evidence.specificity import index_experts, most_specific  # noqa: E402

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.67)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200, help="of each row")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of own words")
    args = parser.parse_args()
    model = bent_model()
    print("| own words | both experts found | share of named experts that are false | shuffled: anything |")
    print("|---|---|---|---|")
    for share in args.shares:
        found, false, shuffled = np.zeros((3, args.studies))
        for seed in range(args.studies):
            counts = record_languages(model, share, seed)
            index = index_experts(counts, LANGUAGES, threshold=0.05)
            named = [most_specific(index, language, 100) for language in range(len(LANGUAGES))]
            of_last = {int(index.expert[row]) for row in named[2] if index.layer[row] == 0}
            found[seed] = set(PLANTED) <= of_last
            sizes = [len(rows) for rows in named]
            false[seed] = (sizes[0] + sizes[1]) / max(1, sum(sizes))
            dealt = index_experts(shuffle_languages(counts, seed), LANGUAGES, threshold=0.05)
            shuffled[seed] = (dealt.q_value <= 0.05).any()
        print(
            f"| {share:.0%} | {found.mean():.3f} | {false.mean():.3f} | {shuffled.mean():.3f} |", flush=True
        )


if __name__ == "__main__":
    main()
