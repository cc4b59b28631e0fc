"""Tables of the selectors' study, out of the rows that ``selectors_study.py run`` has written."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from selectors_cases import DENSE, SHARES, Case, best, parts

N_RESAMPLES = 2000


def read_rows(out: Path, model: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows by key and language."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for file in sorted(out.glob(f"{model}_*.jsonl")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            rows.setdefault(row["key"], {})[row["language"]] = row
    return rows


def write_losses(out: Path, path: Path) -> None:
    """All rows of a folder as one table; a case is what differs from the defaults of ``Case``."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["model", "language", "case", "nll"])
        for found in sorted(out.glob("*.jsonl")):
            model = found.stem.rpartition("_")[0]
            for line in found.read_text().splitlines():
                row = json.loads(line)
                table.writerow([model, row["language"], row["key"], f"{row['nll']:.5f}"])


def difference(one: Mapping[str, Any], other: Mapping[str, Any], seed: int = 0) -> tuple[float, float, float]:
    """Mean over languages of one loss less another, with a paired 95 % interval over documents."""
    rng, resampled, values = np.random.default_rng(seed), [], []
    for language in sorted(set(one) & set(other)):
        gap = np.array(one[language]["documents_nll"]) - np.array(other[language]["documents_nll"])
        n = np.array(one[language]["n_predicted"])
        draws = rng.integers(len(gap), size=(N_RESAMPLES, len(gap)))
        resampled.append(gap[draws].sum(axis=1) / n[draws].sum(axis=1))
        values.append(gap.sum() / n.sum())
    low, high = np.quantile(np.mean(resampled, axis=0), [0.025, 0.975])
    return float(np.mean(values)), float(low), float(high)


def tables(out: Path, model: str) -> None:
    """Print all tables as Markdown, of the rows in a folder."""
    rows = read_rows(out, model)
    every, default = parts(model), best(model)
    if DENSE.key not in rows:
        sys.exit(f"{out}: nothing was measured of {model}; `run` comes first")
    dense = rows[DENSE.key]

    def lines(cases: Sequence[Case], base: Case | None) -> Iterator[str]:
        for case in cases:
            found = rows.get(case.key, {})
            if not found:
                continue
            nll = np.mean([row["nll"] for row in found.values()])
            rise = difference(found, dense)
            gap = difference(found, rows[base.key]) if base and base.key in rows else None
            text = f"{gap[0]:+.3f} ({gap[1]:+.3f} to {gap[2]:+.3f})" if gap else ""
            seconds = np.mean([row["seconds"] for row in found.values()])
            name = case.key if case != default else "the default method"
            yield f"| {name} | {len(found)} | {nll:.3f} | {rise[0]:+.3f} | {text} | {seconds:.0f} |"

    mean = np.mean([row["nll"] for row in dense.values()])
    print(f"dense: {mean:.3f} nats per token, {len(dense)} languages\n")
    for part, cases in every.items():
        print(f"### {part}\n\n| case | languages | nll | above dense | less that of second order | s |")
        print("|---|---|---|---|---|---|")
        for share in dict.fromkeys(case.share for case in cases):
            base = replace(default, share=share)
            print("\n".join(lines([case for case in cases if case.share == share], base)))
        print()
    rivals(rows, model)


def rivals(rows: Mapping[str, Mapping[str, Any]], model: str) -> None:
    """Print the default beside all other compensated models, by size: their loss, and less the default's."""
    every = parts(model)
    others = [case for case in (*every["sizes"], *every["frontier"], *every["compensated"])]
    names = list(dict.fromkeys(replace(case, share=0.5) for case in others))
    print("### the default, layers sized by the loss, and its rivals: in how many languages it is better\n")
    print("| case | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    print("|---" * (1 + len(SHARES)) + "|")
    own = {case.share: rows.get(case.key, {}) for case in every["shared sizes"]}
    means = (np.mean([row["nll"] for row in own[share].values()]) for share in SHARES)
    print("| the default | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    for name in names:
        cells = []
        for share in SHARES:
            found = rows.get(replace(name, share=share).key, {})
            if set(found) != set(own[share]):
                cells.append(f"{len(found)} languages")
                continue
            mean = np.mean([row["nll"] for row in found.values()])
            gap, low, high = difference(found, own[share])
            better = sum(row["nll"] > own[share][code]["nll"] for code, row in found.items())
            cells.append(f"{mean:.3f} ({gap:+.3f}, {low:+.3f} to {high:+.3f}; {better})")
        print(f"| {replace(name, share=0.7).key} | " + " | ".join(cells) + " |")
