"""The tables of docs/routers.md out of a finished study of the small mixture of experts.

    python benchmarks/moe_tables.py --results results/moe/results --model moe-1500
    python benchmarks/moe_tables.py --results results/moe_parallel/results --parts translations

Parts whose files are not there are left out.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(*rows: tuple[Any, ...]) -> None:
    """Print a Markdown table; the first row is its head."""
    head, *body = rows
    for row in (head, ("---",) * len(head), *body):
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def numbers(rows: list[Row], column: str, **wanted: str) -> np.ndarray:
    return np.array(
        [float(r[column]) for r in rows if all(r[k] == v for k, v in wanted.items()) and r[column]]
    )


def span(values: np.ndarray, digits: int = 2) -> str:
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def mean_span(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


CHECKPOINTS = (
    "checkpoint", "choices in common", "less than documents dealt out", "experts in use",
    "pairs with p <= 5 %", "experts used often by one language", "by all", "by none (dead)",
    "above every other language (FDR 5 %)",
)  # fmt: skip


def training(results: Path, _model: str) -> None:
    """Checkpoints: what languages have in common in their routing, over training."""
    summary = read(results / "models" / "routing.csv")
    rows: list[tuple[Any, ...]] = [CHECKPOINTS]
    for model in dict.fromkeys(row["model"] for row in summary):
        own = {c: numbers(summary, c, model=model) for c in summary[0] if c not in ("model", "layer")}
        experts, named = results / model / "evidence" / "experts.csv", ""
        if experts.exists():
            found = read(experts)
            named = f"{sum(float(r['q_value']) <= 0.05 for r in found)} of {len(found)}"
        spans = [span(own[c]) for c in ("common_choices", "languages_apart", "used_experts")]
        sums = [f"{own[c].sum():.0f}" for c in ("specific_experts", "shared_experts", "dead_experts")]
        rows.append((model, *spans, f"{own['pairs_apart'].mean():.2f}", *sums, named))
    table(*rows)


def pruning(results: Path, model: str) -> None:
    """What is left of a model's experts, and the rise of the held-out loss."""
    rows = read(results / model / "routed_pruning.csv")
    own = [row for row in rows if row["experts_of"] == row["language"]]
    of_others = [
        row for row in rows if row["selection"] == "removed" and row["experts_of"] != row["language"]
    ]
    labels = {
        "kept": "the language's own experts, REAP",
        "frequency": "the most chosen ones",
        "gate": "those with the largest weights",
    }
    print(f"{model}: {rows[1]['n_kept']} of {rows[1]['n_experts']} experts of each layer\n")
    groups = [(label, [row for row in own if row["selection"] == name]) for name, label in labels.items()]
    groups.append(("experts at random", [row for row in rows if row["selection"] == "random"]))
    groups.append(("all but the most specific ones of another language", of_others))
    groups.append(("all but its own most specific ones", [r for r in own if r["selection"] == "removed"]))
    body: list[tuple[Any, ...]] = []
    for label, chosen in groups:
        body.append((label, mean_span(numbers(chosen, "rise")), mean_span(numbers(chosen, "choices_lost"))))
    head = ("what is left", "rise of the loss, nats per token: mean (least to most)")
    table((*head, "share of the language's choices that is gone"), *body)
    low = numbers(own, "over_random_low", selection="removed")
    high = numbers(own, "over_random_high", selection="kept")
    print(f"without its own, above random in {(low > 0).sum()} of {len(low)} languages (95 % intervals);")
    print(f"with its own, below random in {(high < 0).sum()} of {len(high)}\n")
    body = []
    for code in dict.fromkeys(row["language"] for row in rows):
        mine = [row for row in of_others if row["language"] == code]
        hurt = sorted(mine, key=lambda row: -float(row["rise"]))
        without = numbers(own, "rise", selection="removed", language=code)[0]
        most = ", ".join(f"{row['experts_of']} {float(row['rise']):.2f}" for row in hurt[:3])
        body.append((code, f"{without:.2f}", most, f"{hurt[-1]['experts_of']} {float(hurt[-1]['rise']):.2f}"))
    table(("text in", "without its own", "without those of: most harm", "least harm"), *body)


def classes(results: Path, model: str) -> None:
    """Classes of experts, specific experts by language, and verdicts of claims."""
    print(f"{model}: classes of experts\n")
    (found,) = read(results / model / "evidence" / "expert_classes.csv")
    table(tuple(found), tuple(found.values()))
    experts = read(results / model / "evidence" / "experts.csv")
    named = Counter(row["group"] for row in experts if row["class"] == "specific")
    print("specific:", ", ".join(f"{code} {n}" for code, n in named.most_common()))
    named = Counter(row["group"] for row in experts if row["class"] == "family-specific")
    print("of a family:", ", ".join(f"{group} {n}" for group, n in named.most_common()), "\n")


def claims(results: Path, model: str) -> None:
    """Verdicts of the paper's claims that a mixture of experts can be asked for."""
    body: list[tuple[Any, ...]] = []
    for row in read(results / model / "claims.csv"):
        if row["verdict"] != "not tested":
            values = [f"{float(row[name]):.2f}" if row[name] else "" for name in ENDS]
            body.append((f"`{row['id']}`", row["statistic"], *values, row["verdict"]))
    table(("claim", "statistic", *ENDS, "verdict"), *body)


ENDS = ("value", "low", "high")


def translations(results: Path, _model: str) -> None:
    """Choices that a sentence and its translation have in common, beside other sentences, by layer."""
    for path in sorted(path for path in results.glob("*/routing.csv") if path.parent.name != "models"):
        rows = [row for row in read(path) if row["statistic"] == "translations"]
        if not rows:
            continue
        print(f"{path.parent.name}: {len({(r['language'], r['other']) for r in rows})} pairs of languages\n")
        body = []
        for layer in dict.fromkeys(row["layer"] for row in rows):
            value, null = (numbers(rows, column, layer=layer) for column in ("value", "null"))
            alike = numbers(rows, "p_value", layer=layer) <= 0.05
            body.append(
                (
                    layer,
                    f"{value.mean():.2f}",
                    f"{null.mean():.2f}",
                    span(value - null, 3),
                    f"{alike.mean():.2f}",
                )
            )
        head = ("layer", "translations", "other sentences", "difference, least to most of pairs")
        table((*head, "pairs with p of at most 5 %"), *body)


PARTS: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "training": (training, "models/routing.csv"),
    "pruning": (pruning, "{model}/routed_pruning.csv"),
    "classes": (classes, "{model}/evidence/expert_classes.csv"),
    "claims": (claims, "{model}/claims.csv"),
    "translations": (translations, "{model}/routing.csv"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results/moe/results"))
    parser.add_argument("--model", default="moe-1500")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    for name in args.parts:
        part, needs = PARTS[name]
        if (args.results / needs.format(model=args.model)).exists():
            part(args.results, args.model)
        else:
            print(f"{name}: {args.results / needs.format(model=args.model)} is not there", file=sys.stderr)


if __name__ == "__main__":
    main()
