"""How much tokens differ by themselves, over how much languages do: in a run, and in simulated classes.

Says which scenario of ``token_classes.py`` a class of a run is like. Both are standard deviations of
frequencies, summed over layers and experts: between tokens of one language that are seen at least 50 times,
without the noise of so few, and between languages' means, as they are measured.

    python benchmarks/token_scatter.py results/parallel/results/gemma-3-270m
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from parallel_tables import table
from token_classes import CLASSES, USUAL, draw_study

from babelscope.evidence.token_classes import class_members, select_rows
from babelscope.recording.counts import ActivationCounts
from babelscope.recording.token_types import read_token_types

LEAST = 50


def scatter(counts: Sequence[ActivationCounts]) -> float | None:
    """The ratio for a class of tokens.

    Parameters
    ----------
    counts : of each language, a block for each token.

    Returns
    -------
    None where a language has no token, or none has three that are seen often enough.
    """
    of_tokens, means = [], []
    if not all(len(one.n_tokens) for one in counts):
        return None
    for one in counts:
        means.append(one.n_active.sum(axis=0) / one.n_tokens.sum())
        often = one.n_tokens >= LEAST
        if often.sum() < 3:
            continue
        n_tokens = one.n_tokens[often, None, None]
        frequency = one.n_active[often] / n_tokens
        noise = (frequency * (1 - frequency) / (n_tokens - 1)).sum(axis=(1, 2)).mean()
        of_tokens.append(max(frequency.var(axis=0, ddof=1).sum() - noise, 0.0))
    if not of_tokens:
        return None
    return float(np.sqrt(np.mean(of_tokens) / np.stack(means).var(axis=0, ddof=1).sum()))


def of_run(folder: Path) -> list[list[str]]:
    """Rows of the classes of a run."""
    paths = sorted((folder / "types").glob("??.h5"))
    types = [read_token_types(path, folder.name, path.stem) for path in paths]
    found = {
        name: scatter([select_rows(one.counts, member) for one, member in zip(types, members, strict=True)])
        for name, members in class_members(types).items()
    }
    return [[folder.name, name, f"{ratio:.1f}"] for name, ratio in found.items() if ratio is not None]


def of_simulation(of_token: float) -> list[list[str]]:
    """Rows of the simulated classes."""
    scenario = USUAL | {"of_token": of_token, "n_types": 600, "n_tokens": 9000}
    types, _ = draw_study(np.random.default_rng(0), scenario | {"strength": 0.5, "likeness": 0.5})
    rows = []
    for name in CLASSES:
        members = [(one.token_id < 10_000) == (name == "shared") for one in types]
        ratio = scatter([select_rows(one.counts, held) for one, held in zip(types, members, strict=True)])
        rows.append([f"simulated, {of_token:g}", name, f"{ratio:.1f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="results/{model} of a run with recording.token_types")
    rows = of_run(parser.parse_args().folder)
    for of_token in (0.25, 0.5, 1.0):
        rows += of_simulation(of_token)
    print(table(["of", "class", "tokens over languages"], rows))


if __name__ == "__main__":
    main()
